//! The table: which role may call which method, and how far a credential that is held to stores reaches with it.
//!
//! What must stay true: a method without a row is denied to everybody once credentials are asked for, and a test makes
//! every method of every service have its row; rows are judged here and nowhere else.

use super::grant::Role;
use super::grant::Role::{Administrator, Auditor, BackOffice, Gateway, Operator, ProgramOwner, Till};

/// How far a credential that is held to stores reaches with a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To baskets and top-ups of its stores and terminals.
    Basket,
    /// To originals of its stores; others are as if they did not exist.
    Original,
    /// To transactions of its stores; others are as if they did not exist.
    Transactions,
    /// Each command of a stream as far as its own method.
    EachCommand,
    /// Everywhere: what the method shows belongs to no store.
    Everywhere,
    /// Nowhere: the method acts for the partner and names no store.
    Partner,
    /// Nowhere: the method acts for the partner, which the credential must name.
    Desk,
    /// Nowhere: the method concerns the whole ledger, and is not for who acts for one partner.
    Ledger,
}

/// One method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The path of its calls.
    pub path: &'static str,
    /// Who may call it; nobody stands for everybody, without a credential.
    pub roles: &'static [Role],
    /// How far it reaches.
    pub reach: Reach,
}

impl Row {
    /// Whether it needs no credential.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.roles.is_empty()
    }

    /// The method's name.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

const fn row(path: &'static str, roles: &'static [Role], reach: Reach) -> Row {
    Row { path, roles, reach }
}

/// Quotes, accruals, top-ups and reversals: all that a till needs.
const CHECKOUT: &[Role] = &[Till, Gateway, BackOffice];
/// Everything else that a partner does.
const PARTNER: &[Role] = &[Gateway, BackOffice];
/// Reads that concern no single partner.
const PARTNER_OR_AUDITOR: &[Role] = &[Gateway, BackOffice, Auditor];
/// Who may read programmes.
const PROGRAM_READERS: &[Role] = &[BackOffice, ProgramOwner, Operator, Auditor];
/// Who sees what waits for review.
const REVIEW_READERS: &[Role] = &[BackOffice, Operator, Auditor];
/// Who is a second person: each for the acts that the own role may do.
const APPROVERS: &[Role] = &[ProgramOwner, Operator, Administrator];
/// Who sees what waits for a second person.
const APPROVAL_READERS: &[Role] = &[ProgramOwner, Operator, Auditor, Administrator];
/// Who sees what looks like fraud, of all partners.
const DESK_READERS: &[Role] = &[Operator, Auditor];
/// Who sees how partners stand: a partner's office its own, the others all.
const SETTLEMENT_READERS: &[Role] = &[BackOffice, Operator, Auditor];
/// Who may ask what services there are.
const CURIOUS: &[Role] = &[BackOffice, ProgramOwner, Operator, Auditor, Administrator];
/// Nobody in particular.
const PUBLIC: &[Role] = &[];

/// The row of unary accruals.
pub const ACCRUE: Row = row("/tallystick.v1.LedgerService/Accrue", CHECKOUT, Reach::Basket);
/// The row of reversals.
pub const REVERSE: Row = row("/tallystick.v1.LedgerService/Reverse", CHECKOUT, Reach::Original);
/// The row of redemptions.
pub const REDEEM: Row = row("/tallystick.v1.LedgerService/Redeem", PARTNER, Reach::Partner);
/// The row of authorizations.
pub const AUTHORIZE: Row = row("/tallystick.v1.LedgerService/Authorize", PARTNER, Reach::Partner);
/// The row of top-ups.
pub const TOP_UP: Row = row("/tallystick.v1.LedgerService/TopUp", CHECKOUT, Reach::Basket);
/// The row of captures.
pub const CAPTURE: Row = row("/tallystick.v1.LedgerService/Capture", PARTNER, Reach::Partner);
/// The row of voids.
pub const VOID: Row = row("/tallystick.v1.LedgerService/Void", PARTNER, Reach::Partner);
/// The row of activities.
pub const RECORD_ACTIVITY: Row = row("/tallystick.v1.LedgerService/RecordActivity", PARTNER, Reach::Partner);
/// The row of enrolments.
pub const ENROL: Row = row("/tallystick.v1.AccountService/Enrol", PARTNER, Reach::Partner);
/// The row of identifiers that are to point to an account.
pub const LINK_IDENTIFIER: Row = row("/tallystick.v1.AccountService/LinkIdentifier", PARTNER, Reach::Partner);
/// The row of identifiers that are to point to an account no longer.
pub const UNLINK_IDENTIFIER: Row = row("/tallystick.v1.AccountService/UnlinkIdentifier", PARTNER, Reach::Partner);
/// The row of opening balances.
pub const LOAD_OPENING_BALANCE: Row =
    row("/tallystick.v1.AccountService/LoadOpeningBalance", &[BackOffice], Reach::Partner);

/// Every method of every service, the most frequent first.
pub const TABLE: &[Row] = &[
    ACCRUE,
    row("/tallystick.v1.LedgerService/Quote", CHECKOUT, Reach::Basket),
    row("/tallystick.v1.LedgerService/AccrueBatch", CHECKOUT, Reach::Basket),
    row("/tallystick.v1.LedgerService/QuoteBatch", CHECKOUT, Reach::Basket),
    REVERSE,
    row("/tallystick.v1.LedgerService/CommandStream", PARTNER, Reach::EachCommand),
    REDEEM,
    AUTHORIZE,
    CAPTURE,
    VOID,
    TOP_UP,
    RECORD_ACTIVITY,
    row("/tallystick.v1.LedgerService/GetBalance", PARTNER_OR_AUDITOR, Reach::Everywhere),
    row("/tallystick.v1.LedgerService/ListRewards", PARTNER, Reach::Everywhere),
    row("/tallystick.v1.LedgerService/GetTransaction", PARTNER, Reach::Transactions),
    row("/tallystick.v1.LedgerService/ListTransactions", PARTNER_OR_AUDITOR, Reach::Transactions),
    row("/tallystick.v1.LedgerService/ListRelatedTransactions", PARTNER, Reach::Transactions),
    row("/tallystick.v1.LedgerService/ExplainTransaction", PARTNER, Reach::Transactions),
    ENROL,
    row("/tallystick.v1.AccountService/UpdateAccount", PARTNER, Reach::Partner),
    row("/tallystick.v1.AccountService/GetAccount", PARTNER_OR_AUDITOR, Reach::Everywhere),
    LINK_IDENTIFIER,
    UNLINK_IDENTIFIER,
    LOAD_OPENING_BALANCE,
    row("/tallystick.v1.OperatorService/ListHeld", REVIEW_READERS, Reach::Partner),
    row("/tallystick.v1.OperatorService/ReleaseHeld", &[Operator], Reach::Desk),
    row("/tallystick.v1.OperatorService/RejectHeld", &[Operator], Reach::Desk),
    row("/tallystick.v1.OperatorService/RestoreExpired", &[Operator], Reach::Desk),
    row("/tallystick.v1.OperatorService/AdjustBalance", &[Operator], Reach::Desk),
    row("/tallystick.v1.OperatorService/IssueVoucher", &[Operator], Reach::Desk),
    row("/tallystick.v1.OperatorService/CancelVoucher", &[Operator], Reach::Desk),
    row("/tallystick.v1.FraudService/Freeze", &[Operator], Reach::Ledger),
    row("/tallystick.v1.FraudService/Thaw", &[Operator], Reach::Ledger),
    row("/tallystick.v1.FraudService/ListFreezes", DESK_READERS, Reach::Ledger),
    row("/tallystick.v1.FraudService/ListReceiptClaims", DESK_READERS, Reach::Ledger),
    row("/tallystick.v1.FraudService/ListVelocityDenials", DESK_READERS, Reach::Ledger),
    row("/tallystick.v1.ApprovalService/ListProposals", APPROVAL_READERS, Reach::Partner),
    row("/tallystick.v1.ApprovalService/ConfirmProposal", APPROVERS, Reach::Partner),
    row("/tallystick.v1.ApprovalService/RejectProposal", APPROVERS, Reach::Partner),
    row("/tallystick.v1.ProgramService/CheckProgram", &[ProgramOwner], Reach::Ledger),
    row("/tallystick.v1.ProgramService/PublishProgram", &[ProgramOwner], Reach::Ledger),
    row("/tallystick.v1.ProgramService/GetProgram", PROGRAM_READERS, Reach::Partner),
    row("/tallystick.v1.ProgramService/ListPrograms", PROGRAM_READERS, Reach::Partner),
    row("/tallystick.v1.AdminService/GetStatus", &[Operator, Auditor, Administrator], Reach::Ledger),
    row("/tallystick.v1.AdminService/ExportAccounts", &[Auditor], Reach::Ledger),
    row("/tallystick.v1.AdminService/TakeSnapshot", &[Operator], Reach::Ledger),
    row("/tallystick.v1.AdminService/CreateBackup", &[Operator], Reach::Ledger),
    row("/tallystick.v1.SettlementService/GetSettlementReport", SETTLEMENT_READERS, Reach::Partner),
    row("/tallystick.v1.SettlementService/ListBudgets", SETTLEMENT_READERS, Reach::Partner),
    row("/tallystick.v1.AccessService/CreateKey", &[Administrator], Reach::Ledger),
    row("/tallystick.v1.AccessService/RotateKey", &[Administrator], Reach::Ledger),
    row("/tallystick.v1.AccessService/RevokeKey", &[Administrator], Reach::Ledger),
    row("/tallystick.v1.AccessService/ListKeys", &[Auditor, Administrator], Reach::Ledger),
    row("/grpc.health.v1.Health/Check", PUBLIC, Reach::Everywhere),
    row("/grpc.health.v1.Health/List", PUBLIC, Reach::Everywhere),
    row("/grpc.health.v1.Health/Watch", PUBLIC, Reach::Everywhere),
    row("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", CURIOUS, Reach::Partner),
    row("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", CURIOUS, Reach::Partner),
];

/// The row of a path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_one_row_and_what_has_none_is_not_found() {
        for row in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.path == row.path).count(), 1, "{}", row.path);
            assert_eq!(find(row.path), Some(row));
        }
        for unknown in ["", "/", "/tallystick.v1.LedgerService/", "/tallystick.v1.ledgerService/Accrue", "Accrue"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn only_health_is_open_to_everybody() {
        for row in TABLE {
            assert_eq!(row.is_public(), row.path.starts_with("/grpc.health.v1.Health/"), "{}", row.path);
        }
    }

    #[test]
    fn a_till_quotes_accrues_takes_money_in_and_reverses_and_nothing_else() {
        let methods: Vec<&str> = TABLE.iter().filter(|row| row.roles.contains(&Till)).map(|row| row.method()).collect();
        assert_eq!(methods, ["Accrue", "Quote", "AccrueBatch", "QuoteBatch", "Reverse", "TopUp"]);
        for row in TABLE.iter().filter(|row| row.roles.contains(&Till)) {
            assert!([Reach::Basket, Reach::Original].contains(&row.reach), "{}", row.path);
        }
    }
}
