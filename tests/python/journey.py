"""Loads a quarter of grocery baskets through the stream of commands, and compares every account with what an
independent program computed.

    journey.py ADDRESS BASKETS.csv.gz EXPECTED.csv

The server runs `deploy/programs/basic.toml` on a new data directory whose clock is the importer's. What must stay true:
the script keeps no tallies of its own (the server's are compared), and commands in flight are bounded.
"""

import collections
import csv
import datetime
import gzip
import itertools
import sys
import threading

from tallystick.v1 import admin_service_pb2 as admin
from tallystick.v1 import admin_service_pb2_grpc
from tallystick.v1 import ledger_service_pb2 as ledger
from tallystick.v1 import ledger_service_pb2_grpc

from checks import connect, equal, fail, holds

COMMANDS_PER_MESSAGE = 500
COMMANDS_IN_FLIGHT_MAX = 8_000
# Longer than this the import or the export does not take, in seconds.
LONG_CALL_SECONDS_MAX = 600
# The whole quarter is posted before this instant.
AS_OF = datetime.datetime(2017, 4, 1, tzinfo=datetime.timezone.utc)
# Commands that are sent a second time in the end.
REPEATED_COUNT = 2_000
DIFFERENCES_SHOWN_MAX = 10


class Room:
    """Room for commands in flight: whoever sends takes, whoever receives gives back."""

    def __init__(self, limit):
        self.left = limit
        self.is_open = True
        self.changed = threading.Condition()

    def take(self, count):
        """Waits for room; says False when there will be none any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.left >= count or not self.is_open)
            self.left -= count
            return self.is_open

    def give_back(self, count):
        with self.changed:
            self.left += count
            self.changed.notify_all()

    def close(self):
        with self.changed:
            self.is_open = False
            self.changed.notify_all()


def accrual(basket_id, rows):
    """The command of one basket, from its rows."""
    first = rows[0]
    basket = ledger.Basket(
        store_id=first["store_id"],
        receipt_number=basket_id,
        currency_code="USD",
        lines=[
            ledger.Line(
                sku=row["product_id"],
                category=row["category"],
                department=row["department"],
                brand=row["brand"],
                quantity=int(row["quantity"]),
                amount_minor=int(row["amount_cents"]),
            )
            for row in rows
        ],
    )
    basket.receipt_time.FromJsonString(first["time"])
    request = ledger.AccrueRequest(
        transaction_id=f"basket-{basket_id}", account_id=first["household_id"], basket=basket
    )
    request.posting_time.CopyFrom(basket.receipt_time)
    return ledger.Command(accrue=request)


def commands_of(path):
    """Every basket of the file as a command, in the order of the file."""
    with gzip.open(path, "rt", newline="") as text:
        for basket_id, rows in itertools.groupby(csv.DictReader(text), key=lambda row: row["basket_id"]):
            yield accrual(basket_id, list(rows))


def messages_of(commands, room):
    """Commands in messages, as far as there is room."""
    commands = iter(commands)
    while message := list(itertools.islice(commands, COMMANDS_PER_MESSAGE)):
        if not room.take(len(message)):
            return
        yield ledger.CommandStreamRequest(commands=message)


def decisions_on(stub, commands):
    """Sends commands down one stream and yields their decisions, in order."""
    room = Room(COMMANDS_IN_FLIGHT_MAX)
    try:
        for response in stub.CommandStream(messages_of(commands, room), timeout=LONG_CALL_SECONDS_MAX):
            room.give_back(len(response.results))
            yield from (result.decision for result in response.results)
    finally:
        # Whatever ended the stream: nobody must wait for room for ever.
        room.close()


def load(stub, path):
    """Loads every basket; returns how many there were."""
    count = 0
    for decision in decisions_on(stub, commands_of(path)):
        holds(f"basket {count} is accepted for the first time: {decision}",
              not decision.HasField("refusal") and not decision.replayed)
        count += 1
    return count


def load_again(stub, path):
    """Sends the first baskets once more: nothing must happen."""
    commands = itertools.islice(commands_of(path), REPEATED_COUNT)
    kinds = collections.Counter(decision.replayed for decision in decisions_on(stub, commands))
    equal("answers that are replays", kinds, {True: REPEATED_COUNT})


def export(stub):
    """All accounts as the expected file has them: columns by household."""
    request = admin.ExportAccountsRequest()
    request.as_of_time.FromDatetime(AS_OF)
    header, accounts = None, {}
    for part in stub.ExportAccounts(request, timeout=LONG_CALL_SECONDS_MAX):
        if part.HasField("header"):
            holds("there is one header, before the first row", header is None and not accounts)
            header = part.header
        for row in part.rows.rows:
            holds(f"account {row.account_id} comes once", row.account_id not in accounts)
            accounts[row.account_id] = columns_of(row)
    holds("there is a header", header is not None)
    equal("the time of the export", header.as_of_time.ToDatetime(datetime.timezone.utc), AS_OF)
    equal("rows announced", header.row_count, len(accounts))
    return accounts


def columns_of(row):
    wallet, = row.wallets
    metric, = row.metrics
    equal("the wallet", wallet.wallet, "points")
    equal("the metric", (metric.name, metric.period), ("qualifying_cents", "2017"))
    return {
        "household_id": row.account_id,
        "baskets": row.totals.basket_count,
        "earned": wallet.granted_points - wallet.reversed_points,
        "redeemed": wallet.redeemed_points,
        "expired": wallet.expired_points,
        "balance": wallet.balance_points,
        "clipped": wallet.clipped_points,
        "refused_baskets": row.totals.refused_basket_count,
        "refused_redemptions": row.totals.refused_redemption_count,
        "qualifying_cents": metric.value,
    }


def compare(accounts, path):
    """Compares every column of every account; returns how many values there were."""
    with open(path, newline="") as text:
        expected = {row["household_id"]: row for row in csv.DictReader(text)}
    equal("accounts that there should not be", sorted(set(accounts) - set(expected)), [])
    equal("accounts that are missing", sorted(set(expected) - set(accounts)), [])
    differences = [
        f"household {household}: {name} is {accounts[household][name]}, not {value}"
        for household, row in expected.items()
        for name, value in row.items()
        if str(accounts[household][name]) != value
    ]
    if differences:
        shown = "\n  ".join(differences[:DIFFERENCES_SHOWN_MAX])
        fail(f"{len(differences)} values differ:\n  {shown}")
    return sum(len(row) for row in expected.values())


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    address, baskets, expected = sys.argv[1:]
    with connect(address) as channel:
        ledger_stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        admin_stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        count = load(ledger_stub, baskets)
        print(f"{count} baskets loaded", flush=True)
        compare(export(admin_stub), expected)
        load_again(ledger_stub, baskets)
        value_count = compare(export(admin_stub), expected)
    print(f"{count} baskets, {value_count} values as expected")


main()
