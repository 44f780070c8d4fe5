"""Turns the Complete Journey's Parquet tables into the CSV files that the tests and demonstrations load.

What must stay true: the same tables always give the same bytes, and they are the bytes named in DIGESTS; anything else
is refused before a file is put in place. Every amount is turned into whole cents once, by rounding, and stays whole.

    journey.py TABLES BASKETS           the baskets alone, as BASKETS.csv or BASKETS.csv.gz
    journey.py TABLES FOLDER            the baskets, redemptions, campaigns and campaign members, as a folder of files

TABLES is the folder that holds transactions.parquet and the others. `deploy/fetch-journey.sh` fetches it.
"""

import csv
import gzip
import hashlib
import io
import os
import sys
from pathlib import Path

import duckdb

# The first quarter of 2017, the last instant excluded. The tables' times carry no zone and are taken as UTC.
FIRST, PAST_LAST = "TIMESTAMP '2017-01-01'", "TIMESTAMP '2017-04-01'"

INSTANT = "'%Y-%m-%dT%H:%M:%SZ'"
DAY = "'%Y-%m-%d'"

# The files by name: the header, and the query that gives the rows in order. The order of the source rows decides where
# the stated keys are equal, so that the lines of a basket stay as they were rung up.
FILES = {
    "baskets-2017q1.csv.gz": (
        "basket_id,household_id,store_id,time,product_id,department,category,brand,quantity,amount_cents",
        f"""
        SELECT line.basket_id, line.household_id, line.store_id, strftime(line.transaction_timestamp, {INSTANT}),
               line.product_id, coalesce(product.department, ''), coalesce(product.product_category, ''),
               coalesce(product.brand, ''), line.quantity, CAST(round(line.sales_value * 100) AS BIGINT)
        FROM read_parquet('transactions.parquet', file_row_number = true) AS line
        LEFT JOIN read_parquet('products.parquet') AS product USING (product_id)
        WHERE line.transaction_timestamp >= {FIRST} AND line.transaction_timestamp < {PAST_LAST}
        ORDER BY line.transaction_timestamp, line.basket_id, line.file_row_number
        """,
    ),
    # The source states the day alone: every redemption is placed at noon, and numbered in order from 0.
    "redemptions-2017q1.csv": (
        "redemption_id,household_id,time",
        f"""
        SELECT row_number() OVER (ORDER BY redemption_date, file_row_number) - 1, household_id,
               strftime(redemption_date + INTERVAL 12 HOUR, {INSTANT})
        FROM read_parquet('coupon_redemptions.parquet', file_row_number = true)
        WHERE redemption_date >= {FIRST} AND redemption_date < {PAST_LAST}
        ORDER BY redemption_date, file_row_number
        """,
    ),
    "campaigns.csv": (
        "campaign_id,first_day,last_day",
        f"""
        SELECT campaign_id, strftime(start_date, {DAY}), strftime(end_date, {DAY})
        FROM read_parquet('campaign_descriptions.parquet')
        ORDER BY campaign_id
        """,
    ),
    "campaign_members.csv": (
        "campaign_id,household_id",
        """
        SELECT campaign_id, household_id
        FROM read_parquet('campaigns.parquet')
        ORDER BY campaign_id, household_id
        """,
    ),
}
BASKETS = "baskets-2017q1.csv.gz"

# SHA-256 of each file's CSV, before any compression.
DIGESTS = {
    "baskets-2017q1.csv.gz": "8d61ae80d81850abad50f1299b15bbb5621e830c0e72e543c996a1637c433b3b",
    "redemptions-2017q1.csv": "c69d59cdd4af232200d59e52a9b9ec3907a86cae4c1931fcd2f1840924e1c350",
    "campaigns.csv": "9d5eeb64dfa564750f48d64f10a64148d68bb8fa3670aa8f11937e7f6dff0fa2",
    "campaign_members.csv": "5ab2bbcd74e1db44e47679df3ec083b959d5a0e29d7eab93ded1ae77f1c3a0a0",
}


def rows_as_csv(tables, name):
    """Returns the bytes of the CSV called `name`, or ends the program if they are not the expected ones."""
    header, query = FILES[name]
    connection = duckdb.connect(config={"file_search_path": str(tables)})
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(connection.execute(query).fetchall())
    content = text.getvalue().encode()
    digest = hashlib.sha256(content).hexdigest()
    if digest != DIGESTS[name]:
        sys.exit(f"error: {name} came out with SHA-256 {digest}, and {DIGESTS[name]} was expected")
    return content


def write(path, content):
    """Puts `content` at `path`, compressed if the name ends in .gz, so that a reader never sees part of it."""
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tables, target = Path(sys.argv[1]), Path(sys.argv[2])
    if target.name.endswith((".csv", ".csv.gz")):
        write(target, rows_as_csv(tables, BASKETS))
        return
    # The baskets come last: a folder that has them has everything.
    for name in reversed(FILES):
        write(target / name, rows_as_csv(tables, name))


main()
