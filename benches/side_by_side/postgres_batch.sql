-- pgbench: `batch` accruals a call, one transaction. `accounts` and `batch` come from run.py.
SELECT accrue_many(:batch, :accounts, CURRENT_DATE);
