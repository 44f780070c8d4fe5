"""A day in a department store, as a story.

    store_day.py ADDRESS

The server runs the programme of docs/store-day.md on a new data directory; the story that is printed stands there too. The
first thing that is not as it should be ends the program.
"""

import sys

from tallystick.v1 import account_service_pb2 as accounts
from tallystick.v1 import account_service_pb2_grpc
from tallystick.v1 import decision_pb2 as decision
from tallystick.v1 import ledger_service_pb2 as ledger
from tallystick.v1 import ledger_service_pb2_grpc

from checks import CALL_SECONDS_MAX, connect, equal, holds

ACCOUNT = "anna"
LIPSTICK = ledger.Line(sku="lipstick", department="beauty", quantity=1, amount_minor=24_00)
SCARF = ledger.Line(sku="scarf", department="fashion", quantity=1, amount_minor=35_00)
SHOES = ledger.Line(sku="shoes", department="shoes", quantity=1, amount_minor=80_00)
LUNCH = ledger.Line(sku="lunch", department="restaurant", quantity=1, amount_minor=12_50)


def basket(number, *lines, paid="card", voucher_codes=()):
    return ledger.Basket(
        store_id="main-street",
        terminal_id="till-1",
        receipt_number=number,
        currency_code="EUR",
        payment_method=paid,
        lines=lines,
        voucher_codes=voucher_codes,
    )


def euros(minor):
    return f"{minor // 100}.{minor % 100:02}"


def decided(answer):
    """The decision of an answer that was accepted."""
    holds(f"it is accepted: {answer.decision}", not answer.decision.HasField("refusal"))
    return answer.decision


class Store:
    """The calls of the tills, each with a deadline."""

    def __init__(self, channel):
        self.stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self.accounts = account_service_pb2_grpc.AccountServiceStub(channel)

    def ask(self, method, request):
        return getattr(self.stub, method)(request, timeout=CALL_SECONDS_MAX)

    def buy(self, number, *lines, **how):
        request = ledger.AccrueRequest(transaction_id=number, account_id=ACCOUNT, basket=basket(number, *lines, **how))
        return decided(self.ask("Accrue", request))

    def vouchers(self):
        request = accounts.GetAccountRequest(account_id=ACCOUNT)
        return self.accounts.GetAccount(request, timeout=CALL_SECONDS_MAX).vouchers

    def wallet(self, name):
        balance = self.ask("GetBalance", ledger.GetBalanceRequest(account_id=ACCOUNT, wallet=name))
        return balance.wallets[0]


def morning(store):
    print(f"Anna puts a lipstick for {euros(LIPSTICK.amount_minor)} and a scarf for {euros(SCARF.amount_minor)} on the counter.")
    quote = ledger.QuoteRequest(account_id=ACCOUNT, basket=basket("", LIPSTICK, SCARF))
    quoted = decided(store.ask("Quote", quote)).granted_points
    print(f"  The till asks what they would earn: {quoted} points.")
    bought = store.buy("sale-1", LIPSTICK, SCARF)
    equal("what was earned", bought.granted_points, quoted)
    print(f"She buys both, and has {bought.balance_points} points.")


def afternoon(store):
    points, worth = 50, 5_00
    print(
        f"In the afternoon she finds shoes for {euros(SHOES.amount_minor)}, and pays {euros(worth)} of it with points."
    )
    request = ledger.AuthorizeRequest(transaction_id="pay-1", account_id=ACCOUNT, points=points)
    aside = decided(store.ask("Authorize", request)).authorized_points
    print(f"  The till sets {aside} points aside: {store.wallet('points').available_points} can be spent meanwhile.")
    rest = ledger.Line()
    rest.CopyFrom(SHOES)
    rest.amount_minor -= worth
    bought = store.buy("sale-2", rest)
    earned = bought.granted_points
    request = ledger.CaptureRequest(
        transaction_id="pay-1-taken", authorization_transaction_id="pay-1", points=points, final_capture=True
    )
    taken = decided(store.ask("Capture", request))
    print(
        f"  She pays {euros(rest.amount_minor)} by card, which earns {earned} points; "
        f"the {taken.redeemed_points} are taken, and {taken.balance_points} are left."
    )
    (given,) = bought.vouchers
    (voucher,) = store.vouchers()
    equal("the code", voucher.voucher_code, given.voucher_code)
    print(
        f"  With it comes a voucher, {given.voucher}: {euros(voucher.value_minor)} off "
        f"a basket of {euros(given.basket_minor_min)} or more."
    )


def lunch(store):
    request = ledger.TopUpRequest(
        transaction_id="load-1", account_id=ACCOUNT, wallet="gift-card", amount_minor=20_00, source="payment-77"
    )
    before = store.wallet("points").balance_points
    loaded = decided(store.ask("TopUp", request))
    equal("points after a top-up", store.wallet("points").balance_points, before)
    (voucher,) = store.vouchers()
    print(
        f"She loads {euros(loaded.granted_points)} on her gift card, which earns nothing, "
        f"and has lunch for {euros(LUNCH.amount_minor)}."
    )
    rest = ledger.Line()
    rest.CopyFrom(LUNCH)
    rest.amount_minor -= voucher.value_minor
    how = {"paid": "gift-card", "voucher_codes": [voucher.voucher_code]}
    quote = ledger.QuoteRequest(account_id=ACCOUNT, basket=basket("", rest, **how))
    (note,) = decided(store.ask("Quote", quote)).vouchers
    equal("what would become of the voucher", note.event, decision.VOUCHER_EVENT_USED)
    request = ledger.RedeemRequest(
        transaction_id="pay-2", account_id=ACCOUNT, wallet="gift-card", points=rest.amount_minor
    )
    left = decided(store.ask("Redeem", request)).balance_points
    earned = store.buy("sale-3", rest, **how)
    equal("the voucher's state", store.vouchers()[0].state, accounts.VOUCHER_STATE_USED)
    print(
        f"  Her voucher takes {euros(voucher.value_minor)} off, and she pays {euros(rest.amount_minor)} with the card: "
        f"{euros(left)} are left on it, and lunch earned {earned.granted_points} points: {earned.balance_points}."
    )
    again = ledger.AccrueRequest(transaction_id="sale-4", account_id=ACCOUNT, basket=basket("sale-4", LUNCH, **how))
    refusal = store.ask("Accrue", again).decision.refusal
    equal("the refusal", refusal.code, decision.REFUSAL_CODE_VOUCHER_USED)
    print(f"  A second till does not take the voucher: {refusal.message}")


def evening(store):
    scarf = ledger.ReturnedLine(line_index=1, quantity=1)
    request = ledger.ReverseRequest(transaction_id="return-1", original_transaction_id="sale-1", lines=[scarf])
    back = decided(store.ask("Reverse", request))
    print(
        f"The scarf does not suit her: she brings it back, and {back.reversed_points} points with it. "
        f"{back.balance_points} are left."
    )
    related = store.ask("ListRelatedTransactions", ledger.ListRelatedTransactionsRequest(transaction_id="sale-1"))
    follow_ups = [one.transaction for one in related.related if one.relation == ledger.TRANSACTION_RELATION_FOLLOW_UP]
    told = ", ".join(
        f"{ledger.TransactionKind.Name(one.kind).removeprefix('TRANSACTION_KIND_').lower()} {one.transaction_id}"
        for one in follow_ups
    )
    print(f"  What has become of the first purchase: {told}.")
    request = ledger.ReverseRequest(transaction_id="refund-1", original_transaction_id="load-1", points=10_50)
    refund = decided(store.ask("Reverse", request))
    print(
        f"The gift card is given up, and {euros(refund.reversed_points)} go back to where they came from: "
        f"{refund.refund_source}."
    )


def night(store):
    print("Why did the first purchase earn what it did?")
    why = store.ask("ExplainTransaction", ledger.ExplainTransactionRequest(transaction_id="sale-1"))
    for sentence in why.sentences:
        print(f"  {sentence}")
    points, card = store.wallet("points"), store.wallet("gift-card")
    equal("what is set aside or owed", (points.set_aside_points, points.owed_points), (0, 0))
    print(
        f"At night she has {points.balance_points} points and {euros(card.balance_points)} on her card; "
        "nothing is set aside and nothing is owed."
    )


def main():
    store = Store(connect(sys.argv[1]))
    for part in (morning, afternoon, lunch, evening, night):
        part(store)


main()
