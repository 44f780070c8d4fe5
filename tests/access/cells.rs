//! What every method tells every role about what is its own, another store's and another partner's: stated here call by
//! call, and tried by [`crate::generated`].
//!
//! A row's letters stand for callers, in groups:
//!
//! 1. of the partner north, held to no store: about its own, of whichever store, and about the partner south's;
//! 2. of the partner north, held to its first store: about what is of that store, of its second store, and of south;
//! 3. of a partner that the programme does not name: about north's;
//! 4. of no partner: the programme's owner, an operator, an auditor, an administrator; about all three alike.
//!
//! | Letter | What is told |
//! |---|---|
//! | `+` | it is done, and what is asked for is shown |
//! | `=` | the same as one's own, for the reason that stands with the row |
//! | `e` | it is done, and what is asked about is left out |
//! | `?` | NOT_FOUND, in the same words and shape as for what does not exist |
//! | `0` | a refusal, in the same words and shape as for what does not exist |
//! | `r` | a refusal on the ground that stands with the row |
//! | `!` | not denied, and failed for another reason that stands with the row |
//! | `-` | PERMISSION_DENIED |
//! | `.` | there is no such caller: the role may not call the method, or is never held to stores |

use prost::Message;
use tallystick::service::wire::{self, RefusalCode};

use crate::shop::{now_seconds, time};
use crate::world::{Names, Thing, program, remark};

/// One request, and what everybody is told.
#[derive(Clone, Copy)]
pub struct Try {
    pub method: &'static str,
    pub of: Thing,
    pub told: &'static str,
    pub ask: fn(&Names) -> Vec<u8>,
    /// Why what is another's is not hidden.
    pub because: &'static str,
    /// Whether an answer shows what was asked about.
    pub shows: Option<fn(&Names, &[u8]) -> bool>,
    pub refused: Option<RefusalCode>,
}

const fn ask(method: &'static str, of: Thing, told: &'static str, ask: fn(&Names) -> Vec<u8>) -> Try {
    Try { method, of, told, ask, because: "", shows: None, refused: None }
}

impl Try {
    const fn because(self, because: &'static str) -> Self {
        Self { because, ..self }
    }

    const fn shows(self, shows: fn(&Names, &[u8]) -> bool) -> Self {
        Self { shows: Some(shows), ..self }
    }

    const fn refused(self, code: RefusalCode) -> Self {
        Self { refused: Some(code), ..self }
    }
}

const ACCOUNTS: &str = "an account belongs to the programme and to no partner: whoever deals in it may name it";
const CARDS: &str = "a card points to an account of the programme, and belongs to no partner either";
const VOUCHERS: &str = "a voucher is its partner's, and of no store";
const SERVER: &str = "it names nothing of a partner: it is about the whole server, or the whole programme";
const ALL: &str = "whoever runs or audits the server does so for all partners";
const DESKS: &str = "a service desk is held to the partner's name, and to no account";

fn has(text: &str, answer: &[u8]) -> bool {
    answer.windows(text.len()).any(|part| part == text.as_bytes())
}

fn transaction(names: &Names, answer: &[u8]) -> bool {
    has(&names.transaction_id, answer)
}

fn account(names: &Names, answer: &[u8]) -> bool {
    has(&names.account_id, answer)
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn id(names: &Names) -> String {
    names.fresh.clone()
}

/// An activity whose member is named.
fn activity() -> Option<wire::Activity> {
    Some(wire::Activity { kind: text("review"), member_id: text("ann"), ..<_>::default() })
}

/// A basket of the own store that wants to use a voucher.
fn with_voucher(names: &Names) -> Option<wire::Basket> {
    Some(wire::Basket { voucher_codes: vec![names.voucher_code.clone()], ..names.basket_at("store-1") })
}

fn reverse(names: &Names) -> Vec<u8> {
    let original_transaction_id = names.transaction_id.clone();
    wire::ReverseRequest { transaction_id: id(names), original_transaction_id, ..<_>::default() }.encode_to_vec()
}

fn frozen(names: &Names, thing: Thing) -> Vec<u8> {
    names.thaw(thing).encode_to_vec()
}

fn confirm(names: &Names) -> Vec<u8> {
    wire::ConfirmProposalRequest { proposal_id: names.proposal_id, note: text("seen") }.encode_to_vec()
}

fn reject(names: &Names) -> Vec<u8> {
    wire::RejectProposalRequest { proposal_id: names.proposal_id, note: text("seen") }.encode_to_vec()
}

fn restore(names: &Names) -> wire::RestoreExpiredRequest {
    wire::RestoreExpiredRequest {
        transaction_id: id(names),
        account_id: names.account_id.clone(),
        expire_time: time(now_seconds() + 1_000_000),
        remark: remark(),
        ..<_>::default()
    }
}

/// Everything that is tried. Batches and streams are tried with all that may stand in them.
pub const TRIES: [&[Try]; 4] = [LEDGER, ACCOUNT, DESK, OTHER];

const LEDGER: &[Try] = &[
    ask("LedgerService/Quote", Thing::Account, "+0 +-- 0 ....", |names| {
        let (account_id, basket) = (names.account_id.clone(), Some(names.basket()));
        wire::QuoteRequest { account_id, basket, ..<_>::default() }.encode_to_vec()
    }),
    ask("LedgerService/Quote", Thing::Voucher, "+0 +=0 0 ....", |names| {
        let (account_id, basket) = (names.account_id.clone(), with_voucher(names));
        wire::QuoteRequest { account_id, basket, ..<_>::default() }.encode_to_vec()
    })
    .because(VOUCHERS),
    ask("LedgerService/Quote", Thing::Account, "+= +== 0 ....", |names| {
        let (account_identifier, basket) = (names.identifier(), Some(names.basket_at("store-1")));
        wire::QuoteRequest { account_identifier, basket, ..<_>::default() }.encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/Quote", Thing::Account, "+= --- 0 ....", |names| {
        let (account_id, activity) = (names.account_id.clone(), activity());
        wire::QuoteRequest { account_id, activity, ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/Accrue", Thing::Account, "+0 +-- 0 ....", |names| {
        let (transaction_id, account_id, basket) = (id(names), names.account_id.clone(), Some(names.basket()));
        wire::AccrueRequest { transaction_id, account_id, basket, ..<_>::default() }.encode_to_vec()
    }),
    ask("LedgerService/Accrue", Thing::Voucher, "+0 +=0 0 ....", |names| {
        let (transaction_id, account_id, basket) = (id(names), names.account_id.clone(), with_voucher(names));
        wire::AccrueRequest { transaction_id, account_id, basket, ..<_>::default() }.encode_to_vec()
    })
    .because(VOUCHERS),
    ask("LedgerService/Accrue", Thing::Account, "+= +== 0 ....", |names| {
        let (account_identifier, basket) = (names.identifier(), Some(names.basket_at("store-1")));
        wire::AccrueRequest { transaction_id: id(names), account_identifier, basket, ..<_>::default() }.encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/Reverse", Thing::Accrual, "+0 +00 0 ....", reverse),
    ask("LedgerService/Reverse", Thing::Burn, "+0 000 0 ....", reverse),
    ask("LedgerService/Reverse", Thing::TopUp, "+0 +00 0 ....", reverse),
    ask("LedgerService/Redeem", Thing::Account, "+= --- 0 ....", |names| {
        let (account_id, member_id) = (names.account_id.clone(), text("ann"));
        wire::RedeemRequest { transaction_id: id(names), account_id, member_id, points: 1, ..<_>::default() }
            .encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/Redeem", Thing::Account, "+= --- 0 ....", |names| {
        let account_identifier = names.identifier();
        wire::RedeemRequest { transaction_id: id(names), account_identifier, points: 1, ..<_>::default() }
            .encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/Authorize", Thing::Account, "+= --- 0 ....", |names| {
        let (account_id, member_id) = (names.account_id.clone(), text("ann"));
        wire::AuthorizeRequest { transaction_id: id(names), account_id, member_id, points: 1, ..<_>::default() }
            .encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/Authorize", Thing::Account, "+= --- 0 ....", |names| {
        let account_identifier = names.identifier();
        wire::AuthorizeRequest { transaction_id: id(names), account_identifier, points: 1, ..<_>::default() }
            .encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/Capture", Thing::Authorization, "+0 --- 0 ....", |names| {
        let authorization_transaction_id = names.transaction_id.clone();
        wire::CaptureRequest { transaction_id: id(names), authorization_transaction_id, points: 1, ..<_>::default() }
            .encode_to_vec()
    }),
    ask("LedgerService/Void", Thing::Authorization, "+0 --- 0 ....", |names| {
        let authorization_transaction_id = names.transaction_id.clone();
        wire::VoidRequest { transaction_id: id(names), authorization_transaction_id, ..<_>::default() }.encode_to_vec()
    }),
    ask("LedgerService/TopUp", Thing::Account, "+0 +-- 0 ....", |names| {
        let (store_id, terminal_id) = (names.store_id.clone(), names.terminal_id.clone());
        let top_up =
            wire::TopUpRequest { account_id: names.account_id.clone(), store_id, terminal_id, ..top_up(names) };
        top_up.encode_to_vec()
    }),
    ask("LedgerService/TopUp", Thing::Account, "+= +== 0 ....", |names| {
        let (account_identifier, store_id) = (names.identifier(), text("store-1"));
        wire::TopUpRequest { account_identifier, store_id, ..top_up(names) }.encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/RecordActivity", Thing::Account, "+= --- 0 ....", |names| {
        let (account_id, activity) = (names.account_id.clone(), activity());
        wire::RecordActivityRequest { transaction_id: id(names), account_id, activity, ..<_>::default() }
            .encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/RecordActivity", Thing::Account, "+= --- 0 ....", |names| {
        let (account_identifier, activity) = (names.identifier(), activity());
        wire::RecordActivityRequest { transaction_id: id(names), account_identifier, activity, ..<_>::default() }
            .encode_to_vec()
    })
    .because(CARDS),
    ask("LedgerService/GetBalance", Thing::Account, "+= +== ? ..+.", |names| {
        wire::GetBalanceRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS)
    .shows(account),
    ask("LedgerService/GetBalance", Thing::Account, "+= +== ? ..+.", |names| {
        wire::GetBalanceRequest { account_identifier: names.identifier(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS)
    .shows(account),
    ask("LedgerService/ListRewards", Thing::Account, "+= +== ? ....", |names| {
        wire::ListRewardsRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/ListRewards", Thing::Account, "+= +== ? ....", |names| {
        wire::ListRewardsRequest { account_identifier: names.identifier(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("LedgerService/GetTransaction", Thing::Accrual, "+? +?? ? ....", |names| {
        wire::GetTransactionRequest { transaction_id: names.transaction_id.clone() }.encode_to_vec()
    })
    .shows(transaction),
    ask("LedgerService/GetTransaction", Thing::Burn, "+? ??? ? ....", |names| {
        wire::GetTransactionRequest { transaction_id: names.transaction_id.clone() }.encode_to_vec()
    })
    .shows(transaction),
    ask("LedgerService/ListTransactions", Thing::Accrual, "+e +ee ? ..+.", |names| {
        wire::ListTransactionsRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("LedgerService/ListTransactions", Thing::Account, "+e +ee ? ..+.", |names| {
        wire::ListTransactionsRequest { account_identifier: names.identifier(), ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("LedgerService/ListRelatedTransactions", Thing::Accrual, "+? +?? ? ....", |names| {
        wire::ListRelatedTransactionsRequest { transaction_id: names.transaction_id.clone(), ..<_>::default() }
            .encode_to_vec()
    }),
    ask("LedgerService/ExplainTransaction", Thing::Accrual, "+? +?? ? ....", |names| {
        wire::ExplainTransactionRequest { transaction_id: names.transaction_id.clone(), ..<_>::default() }
            .encode_to_vec()
    })
    .shows(transaction),
];

fn top_up(names: &Names) -> wire::TopUpRequest {
    wire::TopUpRequest {
        transaction_id: id(names),
        wallet: text("money"),
        amount_minor: 500,
        source: format!("psp-{}", names.fresh),
        ..<_>::default()
    }
}

const ACCOUNT: &[Try] = &[
    ask("AccountService/Enrol", Thing::Account, "+= --- 0 ....", |names| {
        wire::EnrolRequest { transaction_id: id(names), account_id: names.account_id.clone(), ..<_>::default() }
            .encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("AccountService/UpdateAccount", Thing::Account, "+= --- 0 ....", |names| {
        let (account_id, join_segments) = (names.account_id.clone(), vec![text("gold")]);
        wire::UpdateAccountRequest { transaction_id: id(names), account_id, join_segments, ..<_>::default() }
            .encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("AccountService/UpdateAccount", Thing::Account, "+= --- 0 ....", |names| {
        let (account_identifier, join_segments) = (names.identifier(), vec![text("gold")]);
        wire::UpdateAccountRequest { transaction_id: id(names), account_identifier, join_segments, ..<_>::default() }
            .encode_to_vec()
    })
    .because(CARDS),
    ask("AccountService/GetAccount", Thing::Account, "+= +== ? ..+.", |names| {
        wire::GetAccountRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS)
    .shows(account),
    ask("AccountService/GetAccount", Thing::Account, "+= +== ? ..+.", |names| {
        wire::GetAccountRequest { account_identifier: names.identifier(), ..<_>::default() }.encode_to_vec()
    })
    .because(ACCOUNTS)
    .shows(account),
    ask("AccountService/GetAccount", Thing::Voucher, "+e +=e ? ..+.", |names| {
        wire::GetAccountRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .because(VOUCHERS)
    .shows(|names, answer| has(&names.voucher_code, answer)),
    ask("AccountService/LinkIdentifier", Thing::Account, "+= --- 0 ....", |names| {
        let identifier = Some(wire::AccountIdentifier { kind: text("phone"), value: id(names) });
        let (transaction_id, account_id) = (id(names), names.account_id.clone());
        wire::LinkIdentifierRequest { transaction_id, account_id, identifier, posting_time: None }.encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("AccountService/UnlinkIdentifier", Thing::Account, "+= --- 0 ....", |names| {
        let (transaction_id, account_id, identifier) = (id(names), names.account_id.clone(), names.identifier());
        wire::UnlinkIdentifierRequest { transaction_id, account_id, identifier, posting_time: None }.encode_to_vec()
    })
    .because(ACCOUNTS),
    ask("AccountService/LoadOpeningBalance", Thing::Account, "+0 --- 0 ....", |names| {
        let lots = vec![wire::OpeningLot { points: 1, issuer: names.partner.clone(), ..<_>::default() }];
        let (transaction_id, account_id) = (id(names), names.account_id.clone());
        wire::LoadOpeningBalanceRequest { transaction_id, account_id, lots, ..<_>::default() }.encode_to_vec()
    }),
    ask("AccountService/LoadOpeningBalance", Thing::Account, "+= --- 0 ....", |names| {
        let lots = vec![wire::OpeningLot { points: 1, ..<_>::default() }];
        let (transaction_id, account_identifier) = (id(names), names.identifier());
        wire::LoadOpeningBalanceRequest { transaction_id, account_identifier, lots, ..<_>::default() }.encode_to_vec()
    })
    .because(CARDS),
];

const DESK: &[Try] = &[
    ask("OperatorService/ListHeld", Thing::Held, "+e --- ? .++.", |names| {
        wire::ListHeldRequest { account_id: names.account_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("OperatorService/ListHeld", Thing::Held, "+e --- e .++.", |_| {
        wire::ListHeldRequest { page_size: 500, ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("OperatorService/ReleaseHeld", Thing::Held, "+0 ... 0 ....", |names| {
        let (transaction_id, original_transaction_id) = (id(names), names.transaction_id.clone());
        wire::ReleaseHeldRequest { transaction_id, original_transaction_id, remark: remark(), posting_time: None }
            .encode_to_vec()
    }),
    ask("OperatorService/RejectHeld", Thing::Held, "+0 ... 0 ....", |names| {
        let (transaction_id, original_transaction_id) = (id(names), names.transaction_id.clone());
        wire::RejectHeldRequest { transaction_id, original_transaction_id, remark: remark(), posting_time: None }
            .encode_to_vec()
    }),
    ask("OperatorService/RestoreExpired", Thing::Expiry, "+0 ... 0 ....", |names| {
        wire::RestoreExpiredRequest { expired_position: Some(names.position), ..restore(names) }.encode_to_vec()
    }),
    ask("OperatorService/RestoreExpired", Thing::Accrual, "r0 ... 0 ....", |names| {
        let expired_transaction_id = names.transaction_id.clone();
        wire::RestoreExpiredRequest { expired_transaction_id, ..restore(names) }.encode_to_vec()
    })
    .refused(RefusalCode::NotRestorable),
    ask("OperatorService/AdjustBalance", Thing::Account, "+= ... = ....", |names| {
        let (transaction_id, account_id) = (id(names), names.account_id.clone());
        wire::AdjustBalanceRequest { transaction_id, account_id, points: 1, remark: remark(), ..<_>::default() }
            .encode_to_vec()
    })
    .because(DESKS),
    ask("OperatorService/IssueVoucher", Thing::Account, "+= ... 0 ....", |names| {
        let (transaction_id, account_id, voucher) = (id(names), names.account_id.clone(), text("coffee"));
        wire::IssueVoucherRequest { transaction_id, account_id, voucher, remark: remark(), posting_time: None }
            .encode_to_vec()
    })
    .because(DESKS),
    ask("OperatorService/CancelVoucher", Thing::Voucher, "+0 ... 0 ....", |names| {
        let (account_id, voucher_code) = (names.account_id.clone(), names.voucher_code.clone());
        let remark = remark();
        wire::CancelVoucherRequest { transaction_id: id(names), account_id, voucher_code, remark, posting_time: None }
            .encode_to_vec()
    }),
    ask("FraudService/Freeze", Thing::Account, ".. ... . .+..", |names| {
        names.freeze(Thing::FrozenAccount).encode_to_vec()
    })
    .because(ALL),
    ask("FraudService/Freeze", Thing::Account, ".. ... . .+..", |names| {
        names.freeze(Thing::FrozenTerminal).encode_to_vec()
    })
    .because(ALL),
    ask("FraudService/Freeze", Thing::Account, ".. ... . .+..", |names| {
        names.freeze(Thing::FrozenCashier).encode_to_vec()
    })
    .because(ALL),
    ask("FraudService/Thaw", Thing::FrozenAccount, ".. ... . .+..", |names| frozen(names, Thing::FrozenAccount))
        .because(ALL),
    ask("FraudService/Thaw", Thing::FrozenTerminal, ".. ... . .+..", |names| frozen(names, Thing::FrozenTerminal))
        .because(ALL),
    ask("FraudService/Thaw", Thing::FrozenCashier, ".. ... . .+..", |names| frozen(names, Thing::FrozenCashier))
        .because(ALL),
    ask("FraudService/ListFreezes", Thing::FrozenAccount, ".. ... . .++.", |_| {
        wire::ListFreezesRequest { page_size: 500, ..<_>::default() }.encode_to_vec()
    })
    .because(ALL)
    .shows(account),
    ask("FraudService/ListReceiptClaims", Thing::Account, ".. ... . .++.", |_| Vec::new()).because(ALL),
    ask("FraudService/ListVelocityDenials", Thing::Account, ".. ... . .++.", |_| Vec::new()).because(ALL),
];

const OTHER: &[Try] = &[
    ask("ApprovalService/ListProposals", Thing::Adjustment, "+e ... e e++e", |_| {
        wire::ListProposalsRequest { page_size: 500, ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("ApprovalService/ListProposals", Thing::Publication, "ee ... e +e+e", |_| {
        wire::ListProposalsRequest { page_size: 500, ..<_>::default() }.encode_to_vec()
    })
    .shows(transaction),
    ask("ApprovalService/ConfirmProposal", Thing::Adjustment, "+? ... ? ?+.?", confirm),
    ask("ApprovalService/ConfirmProposal", Thing::Publication, "?? ... ? +?.?", confirm),
    ask("ApprovalService/ConfirmProposal", Thing::ProposedKey, "?? ... ? ??.+", confirm),
    ask("ApprovalService/RejectProposal", Thing::Adjustment, "+? ... ? ?+.?", reject),
    ask("ApprovalService/RejectProposal", Thing::Publication, "?? ... ? +?.?", reject),
    ask("ApprovalService/RejectProposal", Thing::ProposedKey, "?? ... ? ??.+", reject),
    ask("ProgramService/CheckProgram", Thing::Account, ".. ... . +...", |_| {
        wire::CheckProgramRequest { source: program() }.encode_to_vec()
    })
    .because(SERVER),
    ask("ProgramService/PublishProgram", Thing::Account, ".. ... . +...", |names| {
        wire::PublishProgramRequest { transaction_id: id(names), source: program(), effective_time: None }
            .encode_to_vec()
    })
    .because(SERVER),
    ask("ProgramService/GetProgram", Thing::Account, "+= --- = +++.", |_| {
        let selector = Some(wire::get_program_request::Selector::Version(1));
        wire::GetProgramRequest { selector }.encode_to_vec()
    })
    .because(SERVER),
    ask("ProgramService/ListPrograms", Thing::Account, "+= --- = +++.", |_| Vec::new()).because(SERVER),
    ask("AdminService/GetStatus", Thing::Account, ".. ... . .+++", |_| Vec::new()).because(SERVER),
    ask("AdminService/ExportAccounts", Thing::Account, ".. ... . ..+.", |_| Vec::new()).because(SERVER),
    ask("AdminService/TakeSnapshot", Thing::Account, ".. ... . .+..", |_| Vec::new()).because(SERVER),
    ask("AdminService/CreateBackup", Thing::Account, ".. ... . .!..", |_| {
        wire::CreateBackupRequest { directory: text("nowhere") }.encode_to_vec()
    })
    .because("it is about the whole server; this one has no folder for backups"),
    ask("SettlementService/GetSettlementReport", Thing::Account, "+e --- e .++.", |_| Vec::new()).shows(standing),
    ask("SettlementService/GetSettlementReport", Thing::Account, "+e --- e .++.", |names| {
        wire::GetSettlementReportRequest { position: Some(names.position) }.encode_to_vec()
    })
    .shows(standing),
    ask("SettlementService/ListBudgets", Thing::Account, "+e --- e .++.", |_| Vec::new())
        .shows(|names, answer| has(&format!("of-{}", names.partner), answer)),
    ask("AccessService/CreateKey", Thing::Account, ".. ... . ...+", |names| {
        let grant = Some(wire::Grant {
            role: wire::Role::Till.into(),
            partner: names.partner.clone(),
            store_ids: vec![names.store_id.clone()],
            terminal_ids: vec![names.terminal_id.clone()],
        });
        wire::CreateKeyRequest { name: id(names), grant, ..<_>::default() }.encode_to_vec()
    })
    .because(ALL),
    ask("AccessService/RotateKey", Thing::Key, ".. ... . ...+", |names| {
        wire::RotateKeyRequest { key_id: names.key_id.clone(), ..<_>::default() }.encode_to_vec()
    })
    .because(ALL),
    ask("AccessService/RevokeKey", Thing::Key, ".. ... . ...+", |names| {
        wire::RevokeKeyRequest { key_id: names.key_id.clone() }.encode_to_vec()
    })
    .because(ALL),
    ask("AccessService/ListKeys", Thing::Key, ".. ... . ..++", |_| {
        wire::ListKeysRequest { page_size: 500, ..<_>::default() }.encode_to_vec()
    })
    .because(ALL)
    .shows(|names, answer| has(&names.key_id, answer)),
];

/// Whether a report has a standing of the partner. That its points were taken is told to whoever took them.
fn standing(names: &Names, answer: &[u8]) -> bool {
    let report = wire::GetSettlementReportResponse::decode(answer).unwrap();
    report.standings.iter().any(|standing| standing.partner == names.partner)
}
