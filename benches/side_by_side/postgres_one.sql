-- pgbench: one accrual a call. `accounts` and `day` come from run.py.
\set member random(1, :accounts)
\set high random(1, 9000000000000000000)
\set low random(1, 9000000000000000000)
\set amount random(100, 9999)
\set store random(1, 40)
SELECT accrue(
    md5(:high || '-' || :low)::uuid, 'member-' || :member, 'store-' || :store || '/7/' || :high || '-' || :low,
    CURRENT_DATE, (ARRAY['coffee', 'pastry', 'grocery', 'fuel'])[1 + :amount % 4], :amount);
