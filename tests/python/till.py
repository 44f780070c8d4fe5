"""A till's story: what a checkout meets in a day, told to a real server through grpcio.

    till.py ADDRESS

The server runs the sample programme on a new data directory. Every part of the story is a function that uses members of
its own; the first thing that is not as the contract says ends the program.
"""

import datetime
import re
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from google.protobuf.descriptor_pool import DescriptorPool
from tallystick.v1 import account_service_pb2 as accounts
from tallystick.v1 import account_service_pb2_grpc
from tallystick.v1 import decision_pb2 as decisions
from tallystick.v1 import ledger_service_pb2 as ledger
from tallystick.v1 import ledger_service_pb2_grpc, program_service_pb2, program_service_pb2_grpc

from checks import CALL_SECONDS_MAX, connect, equal, expect_failure, holds, new_id

# All baskets are bought at one instant, so that they are of one day whenever the story is told.
NOW = datetime.datetime.now(datetime.timezone.utc)

MELANGE = ledger.Line(sku="melange", category="coffee", quantity=1, amount_minor=430)
CROISSANT = ledger.Line(sku="croissant", category="pastry", quantity=1, amount_minor=250)
ESPRESSO = ledger.Line(sku="espresso", category="coffee", quantity=1, amount_minor=290)
# 4.30 once and 2.50 twice are 9.30.
BREAKFAST, BREAKFAST_BEANS = (MELANGE, CROISSANT), 9
ESPRESSO_BEANS = 2

REFUSALS = decisions.RefusalCode
ADVICE = decisions.RetryAdvice


def basket(*lines, receipt_number=None):
    """A basket of this moment, with a receipt of its own unless one is given."""
    bought = ledger.Basket(
        store_id="vienna-1",
        terminal_id="till-1",
        receipt_number=receipt_number or new_id(),
        currency_code="EUR",
        lines=lines,
    )
    bought.receipt_time.FromDatetime(NOW)
    return bought


def accrual(account_id, *lines, transaction_id=None, receipt_number=None):
    """A request to earn for a basket."""
    return ledger.AccrueRequest(
        transaction_id=transaction_id or new_id(),
        account_id=account_id,
        basket=basket(*lines, receipt_number=receipt_number),
    )


def reversal(original_id, transaction_id=None, lines=()):
    """A request to take a transaction back, or some lines of it: index and quantity."""
    returned = [ledger.ReturnedLine(line_index=index, quantity=quantity) for index, quantity in lines]
    transaction_id = transaction_id or new_id()
    return ledger.ReverseRequest(transaction_id=transaction_id, original_transaction_id=original_id, lines=returned)


class Till:
    """The calls of a till, each with a deadline."""

    def __init__(self, channel):
        self.channel = channel
        self.stub = ledger_service_pb2_grpc.LedgerServiceStub(channel)
        self.accounts = account_service_pb2_grpc.AccountServiceStub(channel)

    def accrue(self, request):
        return self.stub.Accrue(request, timeout=CALL_SECONDS_MAX).decision

    def reverse(self, request):
        return self.stub.Reverse(request, timeout=CALL_SECONDS_MAX).decision

    def redeem(self, account_id, points, transaction_id=None):
        request = ledger.RedeemRequest(
            transaction_id=transaction_id or new_id(), account_id=account_id, points=points
        )
        return self.stub.Redeem(request, timeout=CALL_SECONDS_MAX).decision

    def authorize(self, account_id, points, transaction_id=None):
        request = ledger.AuthorizeRequest(
            transaction_id=transaction_id or new_id(), account_id=account_id, points=points, hold_seconds=600
        )
        return self.stub.Authorize(request, timeout=CALL_SECONDS_MAX).decision

    def capture(self, authorization_id, points, transaction_id=None, final=False):
        request = ledger.CaptureRequest(
            transaction_id=transaction_id or new_id(),
            authorization_transaction_id=authorization_id,
            points=points,
            final_capture=final,
        )
        return self.stub.Capture(request, timeout=CALL_SECONDS_MAX).decision

    def void(self, authorization_id, transaction_id=None):
        request = ledger.VoidRequest(
            transaction_id=transaction_id or new_id(), authorization_transaction_id=authorization_id
        )
        return self.stub.Void(request, timeout=CALL_SECONDS_MAX).decision

    def balance(self, account_id):
        return self.stub.GetBalance(ledger.GetBalanceRequest(account_id=account_id), timeout=CALL_SECONDS_MAX)

    def transaction(self, transaction_id):
        request = ledger.GetTransactionRequest(transaction_id=transaction_id)
        return self.stub.GetTransaction(request, timeout=CALL_SECONDS_MAX).transaction


def is_granted(what, decision, points, balance):
    """Checks a decision that was accepted, journaled and not given before."""
    holds(f"{what} is accepted: {decision}", not decision.HasField("refusal"))
    holds(f"{what} is on record", decision.HasField("position") and decision.HasField("posting_time"))
    holds(f"{what} is no replay", not decision.replayed)
    equal(f"what {what} grants", (decision.granted_points, decision.balance_points), (points, balance))


def is_replay(what, again, first):
    """Checks that an answer is the first one again."""
    holds(f"{what} is replayed", again.replayed)
    expected = decisions.Decision()
    expected.CopyFrom(first)
    expected.replayed = True
    equal(what, again, expected)


def is_refused(what, decision, code, advice, field=""):
    """Checks a refusal that changed nothing and left nothing behind."""
    holds(f"{what} is refused: {decision}", decision.HasField("refusal"))
    refusal = decision.refusal
    equal(f"the ground of {what}", REFUSALS.Name(refusal.code), REFUSALS.Name(code))
    equal(f"the advice for {what}", ADVICE.Name(refusal.retry_advice), ADVICE.Name(advice))
    equal(f"the field of {what}", refusal.field, field)
    holds(f"{what} left nothing behind", not refusal.journaled and not decision.HasField("position"))
    holds(f"{what} says why", refusal.message.endswith("."))


def the_server_says_that_it_serves(till):
    stub = health_pb2_grpc.HealthStub(till.channel)
    names = [f"tallystick.v1.{name}Service" for name in ("Ledger", "Account", "Program", "Admin")]
    for service in ["", *names]:
        status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_SECONDS_MAX).status
        equal(f"health of {service!r}", status, health_pb2.HealthCheckResponse.SERVING)


def reflection_tells_what_there_is(till):
    reflection = ProtoReflectionDescriptorDatabase(till.channel)
    services = set(reflection.get_services())
    own = {f"tallystick.v1.{name}Service" for name in ("Ledger", "Account", "Program", "Admin")}
    expected = own | {"grpc.health.v1.Health"}
    holds(f"{expected} are among {services}", expected <= services)
    service = DescriptorPool(reflection).FindServiceByName("tallystick.v1.LedgerService")
    holds("the methods are described", {"Accrue", "Reverse", "CommandStream"} <= set(service.methods_by_name))


def a_quote_changes_nothing(till):
    request = ledger.QuoteRequest(account_id="member-quote", basket=basket(*BREAKFAST))
    decision = till.stub.Quote(request, timeout=CALL_SECONDS_MAX).decision
    equal("what is quoted", (decision.granted_points, decision.balance_points), (BREAKFAST_BEANS, BREAKFAST_BEANS))
    holds("a quote has no place in the journal", not decision.HasField("position"))
    request = ledger.GetBalanceRequest(account_id="member-quote")
    expect_failure(till.stub.GetBalance, request, grpc.StatusCode.NOT_FOUND, "ACCOUNT_UNKNOWN")


def a_stranger_is_told_what_a_breakfast_would_earn(till):
    quote = ledger.QuoteRequest(basket=basket(*BREAKFAST))
    members = ledger.QuoteRequest(account_id="member-quote", basket=basket(ESPRESSO))
    batch = ledger.QuoteBatchRequest(requests=[quote, members])
    answers = till.stub.QuoteBatch(batch, timeout=CALL_SECONDS_MAX).decisions
    equal("what is quoted", [answer.granted_points for answer in answers], [BREAKFAST_BEANS, ESPRESSO_BEANS])


def beans_are_spent_all_or_none(till):
    is_granted("a breakfast", till.accrue(accrual("member-spend", *BREAKFAST)), BREAKFAST_BEANS, BREAKFAST_BEANS)
    transaction_id = new_id()
    first = till.redeem("member-spend", 5, transaction_id)
    equal("what is burned", (first.redeemed_points, first.balance_points), (5, BREAKFAST_BEANS - 5))
    is_replay("the redemption again", till.redeem("member-spend", 5, transaction_id), first)

    too_much_id = new_id()
    refused = till.redeem("member-spend", 5, too_much_id)
    refusal = refused.refusal
    code = REFUSALS.REFUSAL_CODE_INSUFFICIENT_BALANCE
    equal("the ground", (refusal.code, refusal.retry_advice), (code, ADVICE.RETRY_ADVICE_NEW_ID))
    holds("the refusal is on record", refusal.journaled and refused.HasField("position"))
    equal("the balance stands", refused.balance_points, BREAKFAST_BEANS - 5)
    # The answer is for ever, also when there would be beans enough.
    till.accrue(accrual("member-spend", *BREAKFAST))
    is_replay("the refusal again", till.redeem("member-spend", 5, too_much_id), refused)
    equal("refusals counted", till.balance("member-spend").totals.refused_redemption_count, 1)
    entry = till.transaction(transaction_id)
    equal("the entry", (entry.kind, entry.redemption_points), (ledger.TRANSACTION_KIND_REDEMPTION, 5))


def beans_are_set_aside_and_taken_in_parts(till):
    is_granted("a breakfast", till.accrue(accrual("member-aside", *BREAKFAST)), BREAKFAST_BEANS, BREAKFAST_BEANS)
    held_id, part_id = new_id(), new_id()
    held = till.authorize("member-aside", 5, held_id)
    equal("what is set aside", (held.authorized_points, held.remaining_points), (5, 5))
    equal("for how long", held.hold_expire_time.seconds - held.posting_time.seconds, 600)
    wallet = till.balance("member-aside").wallets[0]
    equal("what is left", (wallet.available_points, wallet.set_aside_points), (BREAKFAST_BEANS - 5, 5))
    part = till.capture(held_id, 2, part_id)
    equal("a part is taken", (part.redeemed_points, part.remaining_points), (2, 3))
    is_replay("the part again", till.capture(held_id, 2, part_id), part)
    is_refused(
        "more than is left",
        till.capture(held_id, 4),
        REFUSALS.REFUSAL_CODE_CAPTURE_EXCEEDS_AUTHORIZATION,
        ADVICE.RETRY_ADVICE_NEVER,
    )
    last = till.capture(held_id, 1, final=True)
    equal("the last part", (last.redeemed_points, last.returned_points), (1, 2))
    is_refused("letting go", till.void(held_id), REFUSALS.REFUSAL_CODE_AUTHORIZATION_CLOSED, ADVICE.RETRY_ADVICE_NEVER)
    status = till.transaction(held_id).authorization_status
    equal("what became of it", (status.state, status.captured_points), (ledger.AUTHORIZATION_STATE_CAPTURED, 3))
    other_id = new_id()
    till.authorize("member-aside", 4, other_id)
    equal("what comes back", till.void(other_id).returned_points, 4)
    equal("the balance", till.balance("member-aside").wallets[0].available_points, BREAKFAST_BEANS - 3)


def an_activity_earns(till):
    activity = ledger.Activity(kind="tasting", channel="app")
    request = ledger.RecordActivityRequest(transaction_id=new_id(), account_id="member-taste", activity=activity)
    first = till.stub.RecordActivity(request, timeout=CALL_SECONDS_MAX).decision
    is_granted("a tasting", first, 20, 20)
    equal("why", [(bonus.name, bonus.points) for bonus in first.bonuses], [("tasting-evening", 20)])
    is_replay("the tasting again", till.stub.RecordActivity(request, timeout=CALL_SECONDS_MAX).decision, first)
    request.transaction_id = new_id()
    is_granted("a second tasting", till.stub.RecordActivity(request, timeout=CALL_SECONDS_MAX).decision, 0, 20)


def a_member_is_enrolled_and_found(till):
    request = accounts.EnrolRequest(
        transaction_id=new_id(), account_id="member-new", join_segments=["students", "early-birds"]
    )
    first = till.accounts.Enrol(request, timeout=CALL_SECONDS_MAX).decision
    is_granted("the enrolment", first, 0, 0)
    is_replay("the enrolment again", till.accounts.Enrol(request, timeout=CALL_SECONDS_MAX).decision, first)
    change = accounts.UpdateAccountRequest(
        transaction_id=new_id(), account_id="member-new", leave_segments=["students"]
    )
    till.accounts.UpdateAccount(change, timeout=CALL_SECONDS_MAX)
    asked = accounts.GetAccountRequest(account_id="member-new")
    found = till.accounts.GetAccount(asked, timeout=CALL_SECONDS_MAX)
    equal("the segments", list(found.segments), ["early-birds"])
    equal("when it was opened", found.open_time, first.posting_time)
    nobody = accounts.GetAccountRequest(account_id="nobody")
    expect_failure(till.accounts.GetAccount, nobody, grpc.StatusCode.NOT_FOUND, "ACCOUNT_UNKNOWN")


def a_basket_earns_and_says_why(till):
    decision = till.accrue(accrual("member-why", *BREAKFAST))
    is_granted("a breakfast", decision, BREAKFAST_BEANS, BREAKFAST_BEANS)
    equal("the wallet", (decision.wallet, decision.program_version), ("beans", 1))
    lines = [(line.line_index, line.eligible, line.rule, line.multiplier_bps) for line in decision.line_decisions]
    equal("the lines", lines, [(0, True, "", 10_000), (1, True, "pastry-double", 20_000)])
    equal("the share of the pastry", decision.line_decisions[1].exact_micropoints, 5_000_000)
    holds("nothing was clipped", not decision.clips and not decision.HasField("velocity_denial"))


def a_retry_gets_the_first_answer(till):
    request = accrual("member-retry", *BREAKFAST)
    first = till.accrue(request)
    is_granted("the first try", first, BREAKFAST_BEANS, BREAKFAST_BEANS)
    for _ in range(3):
        is_replay("a retry", till.accrue(request), first)
    batch = ledger.AccrueBatchRequest(requests=[request, request])
    for again in till.stub.AccrueBatch(batch, timeout=CALL_SECONDS_MAX).decisions:
        is_replay("a retry in a batch", again, first)
    equal("the balance", till.balance("member-retry").wallets[0].balance_points, BREAKFAST_BEANS)


def a_lost_answer_is_asked_for_again(till):
    request = accrual("member-impatient", *BREAKFAST)
    try:
        # Nobody answers within a microsecond: the till cannot know what became of its basket.
        till.stub.Accrue(request, timeout=0.000001)
    except grpc.RpcError as error:
        equal("the outcome", error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    decision = till.accrue(request)
    equal("what is granted", (decision.granted_points, decision.balance_points), (BREAKFAST_BEANS, BREAKFAST_BEANS))


def an_id_is_not_used_for_something_else(till):
    transaction_id, receipt_number = new_id(), new_id()
    first = accrual("member-reuse", *BREAKFAST, transaction_id=transaction_id, receipt_number=receipt_number)
    is_granted("the first use", till.accrue(first), BREAKFAST_BEANS, BREAKFAST_BEANS)

    def changed(change):
        request = ledger.AccrueRequest()
        request.CopyFrom(first)
        change(request)
        return till.accrue(request)

    changes = {
        "account_id": lambda request: setattr(request, "account_id", "member-else"),
        "basket.lines[1].amount_minor": lambda request: setattr(request.basket.lines[1], "amount_minor", 251),
        "basket.lines[0].sku": lambda request: setattr(request.basket.lines[0], "sku", "tea"),
        "basket.receipt_number": lambda request: setattr(request.basket, "receipt_number", "other"),
    }
    for field, change in changes.items():
        code = REFUSALS.REFUSAL_CODE_TRANSACTION_ID_REUSED
        is_refused("other content", changed(change), code, ADVICE.RETRY_ADVICE_NEW_ID, field)
    is_replay("the same content", till.accrue(first), till.transaction(transaction_id).decision)


def a_receipt_earns_once(till):
    receipt_number = new_id()
    first = till.accrue(accrual("member-receipt", *BREAKFAST, receipt_number=receipt_number))
    is_granted("the receipt", first, BREAKFAST_BEANS, BREAKFAST_BEANS)
    for account_id in ("member-receipt", "member-finder"):
        decision = till.accrue(accrual(account_id, *BREAKFAST, receipt_number=receipt_number))
        code = REFUSALS.REFUSAL_CODE_RECEIPT_ALREADY_EARNED
        is_refused("the receipt once more", decision, code, ADVICE.RETRY_ADVICE_NEVER)


def a_purchase_is_taken_back_once(till):
    bought = accrual("member-return", *BREAKFAST)
    is_granted("the purchase", till.accrue(bought), BREAKFAST_BEANS, BREAKFAST_BEANS)
    back = reversal(bought.transaction_id)
    first = till.reverse(back)
    is_granted("the return", first, 0, 0)
    equal("what is taken back", first.reversed_points, BREAKFAST_BEANS)
    is_replay("the return again", till.reverse(back), first)

    refusals = [
        ("a second return", bought.transaction_id, REFUSALS.REFUSAL_CODE_ALREADY_REVERSED, ADVICE.RETRY_ADVICE_NEVER),
        ("a return's return", back.transaction_id, REFUSALS.REFUSAL_CODE_NOT_REVERSIBLE, ADVICE.RETRY_ADVICE_NEVER),
        ("a return of nothing", new_id(), REFUSALS.REFUSAL_CODE_ORIGINAL_UNKNOWN, ADVICE.RETRY_ADVICE_SAME_ID),
    ]
    for what, original_id, code, advice in refusals:
        is_refused(what, till.reverse(reversal(original_id)), code, advice)

    original = till.transaction(bought.transaction_id)
    equal("what took it back", original.reversal_transaction_id, back.transaction_id)
    equal("what was taken back", till.transaction(back.transaction_id).original_transaction_id, bought.transaction_id)
    # The receipt is free to earn again.
    again = till.accrue(accrual("member-return", *BREAKFAST, receipt_number=bought.basket.receipt_number))
    is_granted("the receipt after the return", again, BREAKFAST_BEANS, BREAKFAST_BEANS)


def goods_come_back_one_by_one(till):
    two_croissants = ledger.Line(sku="croissant", category="pastry", quantity=2, amount_minor=500)
    bought = accrual("member-exchange", MELANGE, two_croissants)
    # 4.30 once and 5.00 twice are 14.30; with one croissant less they are 9.30.
    is_granted("the purchase", till.accrue(bought), 14, 14)
    one = reversal(bought.transaction_id, lines=[(1, 1)])
    first = till.reverse(one)
    equal("what a croissant takes back", first.reversed_points, 14 - BREAKFAST_BEANS)
    equal("what is left then", first.balance_points, BREAKFAST_BEANS)
    is_replay("the croissant again", till.reverse(one), first)
    other = reversal(bought.transaction_id, one.transaction_id, lines=[(1, 2)])
    code = REFUSALS.REFUSAL_CODE_TRANSACTION_ID_REUSED
    is_refused("another number of them", till.reverse(other), code, ADVICE.RETRY_ADVICE_NEW_ID, "lines")

    too_many = till.reverse(reversal(bought.transaction_id, lines=[(1, 2)]))
    code = REFUSALS.REFUSAL_CODE_RETURN_TOO_LARGE
    is_refused("more croissants than are left", too_many, code, ADVICE.RETRY_ADVICE_NEVER, "lines[0].quantity")
    holds("something is left", not till.transaction(bought.transaction_id).fully_reversed)

    rest = reversal(bought.transaction_id)
    equal("what the rest takes back", till.reverse(rest).reversed_points, BREAKFAST_BEANS)
    original = till.transaction(bought.transaction_id)
    holds("nothing is left", original.fully_reversed)
    equal("what came back last", original.reversal_transaction_id, rest.transaction_id)
    last = till.transaction(rest.transaction_id)
    equal("what came back before", last.earlier_reversal_transaction_id, one.transaction_id)
    equal("which lines", [(line.line_index, line.quantity) for line in last.returned_lines], [(0, 1), (1, 1)])


def caps_hold_and_say_so(till):
    for visit in range(1, 6):
        decision = till.accrue(accrual("member-often", ESPRESSO))
        is_granted(f"visit {visit}", decision, ESPRESSO_BEANS, visit * ESPRESSO_BEANS)
    sixth = till.accrue(accrual("member-often", ESPRESSO))
    is_granted("the sixth visit", sixth, 0, 5 * ESPRESSO_BEANS)
    denial = sixth.velocity_denial
    equal("what denies it", (denial.cap, denial.limit_count, sixth.earned_points), ("daily-visits", 5, ESPRESSO_BEANS))
    holds(f"{denial.period} is a day", re.fullmatch(r"\d{4}-\d{2}-\d{2}", denial.period) is not None)

    feast = till.accrue(accrual("member-much", ledger.Line(sku="buffet", category="coffee", amount_minor=10_000)))
    is_granted("a feast", feast, 60, 60)
    clips = [(clip.source, clip.name, clip.clipped_points) for clip in feast.clips]
    equal("what is clipped", clips, [(decisions.CLIP_SOURCE_CAP, "daily-beans", 40)])

    balance = till.balance("member-often")
    wallet = balance.wallets[0]
    equal("the wallet", (wallet.wallet, wallet.balance_points, wallet.granted_points), ("beans", 10, 10))
    equal("baskets", (balance.totals.basket_count, balance.totals.refused_basket_count), (6, 1))
    counters = {counter.name: counter.value for counter in balance.counters}
    equal("the counters", counters, {"daily-visits": 5, "daily-beans": 10, "yearly-spend": 6 * 290})


def a_statement_is_read_page_by_page(till):
    sent = [accrual("member-pages", ESPRESSO) for _ in range(7)]
    for request in sent:
        till.accrue(request)
    listed, tokens, token = [], [], ""
    while True:
        request = ledger.ListTransactionsRequest(account_id="member-pages", page_size=3, page_token=token)
        page = till.stub.ListTransactions(request, timeout=CALL_SECONDS_MAX)
        holds("a page is no longer than asked for", len(page.transactions) <= 3)
        listed.extend(page.transactions)
        token = page.next_page_token
        if not token:
            break
        tokens.append(token)
    equal("the statement", [entry.transaction_id for entry in listed], [r.transaction_id for r in reversed(sent)])
    for entry, request in zip(reversed(listed), sent):
        equal("an entry's basket", entry.basket.lines[0], request.basket.lines[0])
        equal("an entry's partner", (entry.partner, entry.kind), ("default", ledger.TRANSACTION_KIND_ACCRUAL))

    bad = [
        ({"page_size": -1}, "page_size"),
        ({"page_token": "no such token"}, "page_token"),
        # A token is good for its own account alone.
        ({"account_id": "member-often", "page_token": tokens[0]}, "page_token"),
    ]
    for fields, field in bad:
        request = ledger.ListTransactionsRequest(**{"account_id": "member-pages", **fields})
        failure = expect_failure(
            till.stub.ListTransactions, request, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"
        )
        equal("the fields at fault", set(failure.fields), {field})


def malformed_requests_name_every_field(till):
    request = accrual("member-slip", ESPRESSO, MELANGE)
    request.transaction_id = "x" * 65
    request.basket.currency_code = "USD"
    request.basket.lines[1].quantity = -1
    request.posting_time.FromDatetime(NOW)
    failure = expect_failure(till.stub.Accrue, request, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    expected = {"transaction_id", "basket.currency_code", "basket.lines[1].quantity", "posting_time"}
    equal("the fields at fault", set(failure.fields), expected)
    holds("each says what is wrong", all(description.endswith(".") for description in failure.fields.values()))

    # Nothing was consumed: corrected, it earns, under the same receipt and what was meant as the id.
    request.transaction_id = new_id()
    request.basket.currency_code = "EUR"
    request.basket.lines[1].quantity = 1
    request.ClearField("posting_time")
    is_granted("the corrected request", till.accrue(request), 7, 7)
    empty = expect_failure(
        till.stub.Accrue, ledger.AccrueRequest(), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"
    )
    equal("the fields at fault", set(empty.fields), {"transaction_id", "account_id", "basket"})


def one_bad_item_does_not_spoil_a_batch(till):
    good, bad, other = (accrual("member-batch", ESPRESSO) for _ in range(3))
    bad.basket.lines[0].amount_minor = -5
    answers = till.stub.AccrueBatch(ledger.AccrueBatchRequest(requests=[good, bad, other]), timeout=CALL_SECONDS_MAX)
    first, second, third = answers.decisions
    is_granted("the first item", first, ESPRESSO_BEANS, ESPRESSO_BEANS)
    is_refused("the bad item", second, REFUSALS.REFUSAL_CODE_INVALID_COMMAND, ADVICE.RETRY_ADVICE_NEVER)
    fields = [violation.field for violation in second.refusal.field_violations]
    equal("the fields of the bad item", fields, ["basket.lines[0].amount_minor"])
    is_granted("the last item", third, ESPRESSO_BEANS, 2 * ESPRESSO_BEANS)
    empty = ledger.AccrueBatchRequest()
    expect_failure(till.stub.AccrueBatch, empty, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


def what_is_not_there_is_not_found(till):
    request = ledger.GetTransactionRequest(transaction_id=new_id())
    expect_failure(till.stub.GetTransaction, request, grpc.StatusCode.NOT_FOUND, "TRANSACTION_UNKNOWN")
    request = ledger.ListTransactionsRequest(account_id="nobody")
    expect_failure(till.stub.ListTransactions, request, grpc.StatusCode.NOT_FOUND, "ACCOUNT_UNKNOWN")
    request = ledger.GetBalanceRequest(account_id="member-why", wallet="stars")
    expect_failure(till.stub.GetBalance, request, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


def late_and_early_receipts_are_refused(till):
    rows = [
        (datetime.timedelta(days=-31), REFUSALS.REFUSAL_CODE_RECEIPT_TOO_OLD, ADVICE.RETRY_ADVICE_NEVER),
        (datetime.timedelta(hours=1), REFUSALS.REFUSAL_CODE_RECEIPT_IN_FUTURE, ADVICE.RETRY_ADVICE_SAME_ID),
    ]
    for distance, code, advice in rows:
        request = accrual("member-late", ESPRESSO)
        request.basket.receipt_time.FromDatetime(NOW + distance)
        is_refused(f"a receipt {distance} away", till.accrue(request), code, advice)
    offline = accrual("member-late", ESPRESSO)
    offline.basket.receipt_time.FromDatetime(NOW - datetime.timedelta(days=29))
    is_granted("a receipt of an offline till", till.accrue(offline), ESPRESSO_BEANS, ESPRESSO_BEANS)


def the_programme_can_be_read_and_a_draft_checked(till):
    stub = program_service_pb2_grpc.ProgramServiceStub(till.channel)
    found = stub.GetProgram(program_service_pb2.GetProgramRequest(), timeout=CALL_SECONDS_MAX)
    equal("the programme", (found.program.name, found.program.version), ("coffee-shop", 1))
    checked = stub.CheckProgram(program_service_pb2.CheckProgramRequest(source=found.source), timeout=CALL_SECONDS_MAX)
    equal("problems of the programme in force", list(checked.problems), [])
    equal("its hash", checked.summary.source_hash, found.program.source_hash)
    draft = found.source.replace('rounding = "floor"', 'rounding = "ceiling"')
    checked = stub.CheckProgram(program_service_pb2.CheckProgramRequest(source=draft), timeout=CALL_SECONDS_MAX)
    line = 1 + draft[: draft.index('"ceiling"')].count("\n")
    equal("the place of the slip", [problem.line for problem in checked.problems], [line])


STORY = [
    the_server_says_that_it_serves,
    reflection_tells_what_there_is,
    a_quote_changes_nothing,
    a_stranger_is_told_what_a_breakfast_would_earn,
    a_basket_earns_and_says_why,
    a_retry_gets_the_first_answer,
    a_lost_answer_is_asked_for_again,
    an_id_is_not_used_for_something_else,
    a_receipt_earns_once,
    a_purchase_is_taken_back_once,
    goods_come_back_one_by_one,
    beans_are_spent_all_or_none,
    beans_are_set_aside_and_taken_in_parts,
    an_activity_earns,
    a_member_is_enrolled_and_found,
    caps_hold_and_say_so,
    a_statement_is_read_page_by_page,
    malformed_requests_name_every_field,
    one_bad_item_does_not_spoil_a_batch,
    what_is_not_there_is_not_found,
    late_and_early_receipts_are_refused,
    the_programme_can_be_read_and_a_draft_checked,
]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with connect(sys.argv[1]) as channel:
        till = Till(channel)
        for part in STORY:
            print(part.__name__.replace("_", " "), flush=True)
            part(till)
    print(f"{len(STORY)} parts of the story are as the contract says")


main()
