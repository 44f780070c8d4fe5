//! Every method, under every role that may call it, about its own, another store's and another partner's. The methods and
//! the fields of their requests come from the descriptors: a new method without a row in [`crate::cells`] fails here, and
//! so does a new field that names something and that no row fills. Batches and streams are made of the rows of what they
//! take.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tallystick::access::grant::{Grant, Role};
use tallystick::service::wire::{self, FILE_DESCRIPTOR_SET};
use tonic::{Code, Status};

use crate::cells::{TRIES, Try};
use crate::matrix::is_meant;
use crate::shop::reason;
use crate::support::grant;
use crate::world::{Names, Whose, World};

/// Fields that name something which can belong to a partner, a store or a member, or be hidden for another reason. Every
/// request that has one is tried with it.
const NAMING: [&str; 21] = [
    "account_id",
    "authorization_transaction_id",
    "cashier_id",
    "expired_position",
    "expired_transaction_id",
    "issuer",
    "key_id",
    "member_id",
    "original_transaction_id",
    "partner",
    "position",
    "proposal_id",
    "receipt_number",
    "store_id",
    "store_ids",
    "terminal_id",
    "terminal_ids",
    "transaction_id",
    "value",
    "voucher_code",
    "voucher_codes",
];

/// Fields that name nothing that could be hidden: measures, times, words of the programme, words for people, pages.
const SAYING: [&str; 51] = [
    "activity_time",
    "actor",
    "amount_minor",
    "as_of_time",
    "brand",
    "category",
    "certificate_name",
    "channel",
    "clear_birthday",
    "confirmer",
    "currency_code",
    "day",
    "department",
    "digest",
    "directory",
    "effective_time",
    "end_time",
    "ended",
    "event_time",
    "expire_time",
    "final_capture",
    "hold_seconds",
    "join_segments",
    "kind",
    "language",
    "leave_segments",
    "line_index",
    "lots",
    "margin_class",
    "month",
    "name",
    "note",
    "operator",
    "overlap",
    "page_size",
    "page_token",
    "payment_method",
    "points",
    "posting_time",
    "quantity",
    "reason_code",
    "receipt_time",
    "reward",
    "role",
    "sku",
    "source",
    "start_time",
    "version",
    "voucher",
    "wallet",
    "year",
];

/// The contract, by names.
pub struct Contract {
    messages: BTreeMap<String, DescriptorProto>,
    /// What each method takes and gives.
    pub methods: BTreeMap<String, (String, String)>,
}

impl Contract {
    pub fn read() -> Self {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
        let (mut messages, mut methods) = (BTreeMap::new(), BTreeMap::new());
        for file in set.file {
            let package = file.package().to_owned();
            for message in file.message_type {
                messages.insert(format!(".{package}.{}", message.name()), message);
            }
            for service in file.service {
                for method in &service.method {
                    let types = (method.input_type().to_owned(), method.output_type().to_owned());
                    methods.insert(format!("{}/{}", service.name(), method.name()), types);
                }
            }
        }
        Self { messages, methods }
    }

    fn field(&self, message: &str, number: u32) -> &FieldDescriptorProto {
        let found = self.messages[message].field.iter().find(|field| u32::try_from(field.number()) == Ok(number));
        found.unwrap_or_else(|| panic!("{message} has no field {number}"))
    }

    /// Whether a field is a message of the contract, whose fields are looked at one by one.
    fn is_own(field: &FieldDescriptorProto) -> bool {
        field.r#type() == Type::Message && field.type_name().starts_with(".tallystick.")
    }

    /// The paths of all fields of a request that are no messages of the contract.
    fn leaves(&self, message: &str, before: &str, into: &mut BTreeSet<String>) {
        for field in &self.messages[message].field {
            let path = format!("{before}{}", field.name());
            if Self::is_own(field) {
                self.leaves(field.type_name(), &format!("{path}."), into);
            } else {
                into.insert(path);
            }
        }
    }

    /// The paths of these that a request fills.
    fn filled(&self, message: &str, bytes: &[u8], before: &str, into: &mut BTreeSet<String>) {
        for (number, part) in parts(bytes) {
            let field = self.field(message, number);
            let path = format!("{before}{}", field.name());
            if Self::is_own(field) {
                self.filled(field.type_name(), part, &format!("{path}."), into);
            } else {
                into.insert(path);
            }
        }
    }

    /// The decisions in an answer.
    pub fn decisions(&self, message: &str, bytes: &[u8]) -> Vec<wire::Decision> {
        let mut decisions = Vec::new();
        for (number, part) in parts(bytes) {
            match self.field(message, number).type_name() {
                ".tallystick.v1.Decision" => decisions.push(timeless(wire::Decision::decode(part).unwrap())),
                ".tallystick.v1.CommandResult" => {
                    decisions.extend(self.decisions(".tallystick.v1.CommandResult", part));
                }
                _ => {}
            }
        }
        decisions
    }

    fn method_that_takes(&self, message: &str) -> &str {
        let mut found = self.methods.iter().filter(|(_, (input, _))| input == message).map(|(method, _)| &**method);
        found.next().unwrap_or_else(|| panic!("no method takes {message} alone"))
    }

    /// All calls that are tried: the rows, and batches and streams of them.
    pub fn cases(&self) -> Vec<Case<'_>> {
        let mut cases = Vec::new();
        for (method, (input, output)) in &self.methods {
            let own = rows(method).map(|row| Case { method, of: row.method, output, row, numbers: Vec::new() });
            let before = cases.len();
            cases.extend(own);
            if cases.len() > before {
                continue;
            }
            let [field] = &self.messages[input].field[..] else {
                panic!("{method} has no row in tests/access/cells.rs")
            };
            assert_eq!(field.label(), Label::Repeated, "{method} has no row in tests/access/cells.rs");
            let number = u32::try_from(field.number()).unwrap();
            let item = field.type_name();
            let is_choice = self.messages[item].field.iter().all(|field| field.oneof_index.is_some());
            let kinds: Vec<(&str, Vec<u32>)> = if is_choice {
                let kind = |kind: &'_ FieldDescriptorProto| u32::try_from(kind.number()).unwrap();
                let kinds = self.messages[item].field.iter();
                kinds.map(|one| (one.type_name(), vec![kind(one), number])).collect()
            } else {
                vec![(item, vec![number])]
            };
            for (kind, numbers) in kinds {
                let of = self.method_that_takes(kind);
                let inner = rows(of).map(|row| Case { method, of, output, row, numbers: numbers.clone() });
                cases.extend(inner);
            }
            assert!(cases.len() > before, "{method} has no row in tests/access/cells.rs");
        }
        cases
    }
}

/// A decision without the moment at which it was made: that there is one is compared, and not which.
fn timeless(decision: wire::Decision) -> wire::Decision {
    let event_time = decision.event_time.map(|_| <_>::default());
    let posting_time = decision.posting_time.map(|_| <_>::default());
    wire::Decision { event_time, posting_time, ..decision }
}

fn rows(method: &str) -> impl Iterator<Item = &'static Try> + use<'_> {
    TRIES.iter().copied().flatten().filter(move |row| row.method == method)
}

/// The fields of a message: the number, and what is in one that has a length.
fn parts(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (number, kind) = decode_key(&mut bytes).unwrap();
        let length = match kind {
            WireType::LengthDelimited => usize::try_from(decode_varint(&mut bytes).unwrap()).unwrap(),
            WireType::Varint => {
                decode_varint(&mut bytes).unwrap();
                0
            }
            other => panic!("the contract has no {other:?}"),
        };
        let (part, rest) = bytes.split_at(length);
        parts.push((number, part));
        bytes = rest;
    }
    parts
}

/// A call that is tried.
pub struct Case<'c> {
    pub method: &'c str,
    /// The method by itself of what a batch or a stream takes.
    pub of: &'c str,
    pub output: &'c str,
    pub row: &'static Try,
    /// The fields that the request lies in, from the inside out.
    numbers: Vec<u32>,
}

/// Who asks about what, and the letter of what is told.
pub struct Cell {
    pub role: usize,
    pub caller: Caller,
    pub whose: Whose,
    pub letter: char,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    Whole,
    Held,
    Stranger,
    Alone,
}

/// The place of the service desk among the roles: behind all others.
const DESK: usize = Role::ALL.len();

impl Case<'_> {
    pub fn request(&self, names: &Names) -> Vec<u8> {
        let within = |inner: Vec<u8>, number: &u32| {
            let mut outer = Vec::new();
            prost::encoding::bytes::encode(*number, &inner, &mut outer);
            outer
        };
        self.numbers.iter().fold((self.row.ask)(names), within)
    }

    fn letters(&self) -> [&'static str; 4] {
        let groups: Vec<&str> = self.row.told.split(' ').collect();
        let groups: [&str; 4] = groups.try_into().unwrap_or_else(|_| panic!("{} has four groups", self.row.told));
        assert_eq!(groups.map(str::len), [2, 3, 1, 4], "{}: {}", self.row.method, self.row.told);
        groups
    }

    /// All who may call the method at all, about everything.
    pub fn cells(&self) -> Vec<Cell> {
        const ALL: [Whose; 3] = [Whose::Own, Whose::OtherStore, Whose::OtherPartner];
        let [whole, held, stranger, alone] = self.letters();
        let mut cells = Vec::new();
        let path = |method: &str| format!("/tallystick.v1.{method}");
        for role in (0..=DESK).filter(|role| is_meant(&path(self.method), *role)) {
            // What a stream takes is judged as by itself.
            let may = is_meant(&path(self.of), role);
            let mut add = |caller, whose: &[Whose], letters: &str| {
                for (whose, letter) in whose.iter().zip(letters.chars()) {
                    cells.push(Cell { role, caller, whose: *whose, letter: if may { letter } else { '-' } });
                }
            };
            let grant_role = Role::ALL.get(role).copied();
            let acts_for_partner = role == DESK || grant_role.is_some_and(Role::acts_for_partner);
            if !acts_for_partner {
                let letter = alone.chars().nth(role - 3).unwrap();
                add(Caller::Alone, &ALL, &letter.to_string().repeat(3));
                continue;
            }
            if role != DESK {
                add(Caller::Held, &ALL, held);
            }
            if grant_role != Some(Role::Till) {
                // To who is held to no store, all stores of the partner are alike.
                add(Caller::Whole, &[Whose::OtherStore], whole);
                add(Caller::Whole, &[Whose::Own, Whose::OtherPartner], whole);
                add(Caller::Stranger, &[Whose::Own], stranger);
            }
        }
        cells
    }
}

/// What each caller may be granted, by role and kind.
pub fn grants() -> BTreeMap<(usize, Caller), Grant> {
    let mut all = BTreeMap::new();
    for place in 0..=DESK {
        let role = Role::ALL.get(place).copied().unwrap_or(Role::Operator);
        let grants: Vec<(Caller, Grant)> = if place != DESK && !role.acts_for_partner() {
            vec![(Caller::Alone, Grant::of_role(role))]
        } else {
            vec![
                (Caller::Held, grant(role, "north", &["store-1"])),
                (Caller::Whole, grant(role, "north", &[])),
                (Caller::Stranger, grant(role, "east", &[])),
            ]
        };
        let can_be = grants.into_iter().filter(|(_, grant)| grant.check().is_ok());
        all.extend(can_be.map(|(caller, grant)| ((place, caller), grant)));
    }
    all
}

/// The callers' keys.
pub async fn keys(world: &World) -> BTreeMap<(usize, Caller), String> {
    let mut keys = BTreeMap::new();
    for (who, grant) in grants() {
        keys.insert(who, world.house.key(grant).await);
    }
    keys
}

#[test]
fn every_method_has_its_rows_and_every_row_a_method() {
    let contract = Contract::read();
    // Says which have none.
    let cases = contract.cases();
    for row in TRIES.iter().copied().flatten() {
        assert!(contract.methods.contains_key(row.method), "{} is no method", row.method);
        let hides = |place: usize| matches!(row.told.as_bytes()[place], b'?' | b'0' | b'e' | b'r' | b'-');
        // What is another partner's is hidden from who is of a partner, or it is said why not.
        let is_hidden = (hides(1) || row.told.starts_with("..") && hides(5)) && !row.told.contains('=');
        assert!(is_hidden || !row.because.is_empty(), "{}: {} says not why", row.method, row.told);
        assert_eq!(row.told.contains('r'), row.refused.is_some(), "{}: {}", row.method, row.told);
        assert!(!row.told.contains('e') || row.shows.is_some(), "{}: {}", row.method, row.told);
    }
    for case in &cases {
        let cells = case.cells();
        assert!(!cells.is_empty(), "nobody may call {}", case.method);
        let [whole, held, stranger, alone] = case.letters();
        for (caller, letters) in
            [(Caller::Whole, whole), (Caller::Held, held), (Caller::Stranger, stranger), (Caller::Alone, alone)]
        {
            let own = || cells.iter().filter(|cell| cell.caller == caller);
            assert!(own().all(|cell| cell.letter != '.'), "{} leaves open what {caller:?} is told", case.method);
            let stated = letters.chars().filter(|letter| *letter != '.').count();
            let is_tried = own().count() > 0;
            assert_eq!(is_tried, stated > 0, "{}: {caller:?} is never told {letters}", case.method);
        }
    }
}

/// What is wrong with the fields of requests: one that nobody has looked at, or that names something and is not tried.
fn untried_fields(contract: &Contract) -> Vec<String> {
    let word = || "A".repeat(16);
    let names = Names {
        partner: word(),
        store_id: word(),
        terminal_id: word(),
        cashier_id: word(),
        account_id: word(),
        card: word(),
        transaction_id: word(),
        voucher_code: word(),
        key_id: word(),
        proposal_id: 1,
        position: 1,
        fresh: word(),
    };
    let mut wrong = Vec::new();
    let mut unused: BTreeSet<&str> = NAMING.into_iter().chain(SAYING).collect();
    for (method, (input, _)) in &contract.methods {
        let mut tried = rows(method).peekable();
        if tried.peek().is_none() {
            // A batch or a stream, made of others' rows.
            continue;
        }
        let (mut all, mut filled) = (BTreeSet::new(), BTreeSet::new());
        contract.leaves(input, "", &mut all);
        tried.for_each(|row| contract.filled(input, &(row.ask)(&names), "", &mut filled));
        for path in all {
            let name = path.rsplit('.').next().unwrap();
            unused.remove(name);
            match (NAMING.contains(&name), SAYING.contains(&name)) {
                (true, false) if filled.contains(&path) => {}
                (true, false) => wrong.push(format!("no row of {method} fills {path}")),
                (false, true) => {}
                _ => wrong.push(format!("does the field {path} of {method} name something?")),
            }
        }
    }
    wrong.extend(unused.into_iter().map(|name| format!("no request has {name}")));
    wrong
}

#[test]
fn every_field_that_names_something_is_filled_by_a_row() {
    assert_eq!(untried_fields(&Contract::read()), [""; 0]);
}

#[test]
fn a_field_that_is_new_is_found() {
    let mut contract = Contract::read();
    let field = |name: &str| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(99),
        r#type: Some(Type::String.into()),
        ..<_>::default()
    };
    let redeem = contract.messages.get_mut(".tallystick.v1.RedeemRequest").unwrap();
    redeem.field.extend([field("store_id"), field("colour")]);
    let found = [
        "no row of LedgerService/Redeem fills store_id",
        "does the field colour of LedgerService/Redeem name something?",
    ];
    let mut wrong = untried_fields(&contract);
    wrong.sort_by_key(|what| !what.starts_with("no row"));
    assert_eq!(wrong, found);
}

#[test]
#[should_panic(expected = "AccountService/Steal has no row in tests/access/cells.rs")]
fn a_method_that_is_new_is_found() {
    let mut contract = Contract::read();
    let as_another = contract.methods["AccountService/GetAccount"].clone();
    contract.methods.insert("AccountService/Steal".to_owned(), as_another);
    contract.cases();
}

/// What all that is told of a failure looks like.
pub fn shape(status: &Status) -> (Code, String, Vec<u8>, Vec<String>) {
    let mut names: Vec<String> = status.metadata().keys().map(|key| format!("{key:?}")).collect();
    names.sort();
    (status.code(), status.message().to_owned(), status.details().to_vec(), names)
}

type Told = Result<Vec<u8>, Status>;

pub struct Trial<'t> {
    pub world: &'t World,
    pub contract: &'t Contract,
}

impl Trial<'_> {
    async fn tell(&self, case: &Case<'_>, key: &str, names: &Names) -> Told {
        for _ in 0..1_000 {
            let told = self.world.tell(case.method, key, case.request(names)).await;
            // There is one export at a time, and the one before may not have noticed yet that its caller has gone.
            if !told.as_ref().is_err_and(|status| reason(status) == "OVERLOADED") {
                return told;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} has no room for ten seconds", case.method)
    }

    /// The decisions that an answer has to be of; they are refusals.
    fn refusals(&self, case: &Case<'_>, answer: &Told) -> Result<Vec<wire::Decision>, String> {
        let answer = answer.as_ref().map_err(|status| format!("it fails: {status:?}"))?;
        let decisions = self.contract.decisions(case.output, answer);
        let is_refused = !decisions.is_empty() && decisions.iter().all(|decision| decision.refusal.is_some());
        is_refused.then(|| decisions.clone()).ok_or_else(|| format!("it is not refused: {decisions:?}"))
    }

    /// Tries one cell; gives what is otherwise than stated.
    async fn run(&self, case: &Case<'_>, cell: &Cell, key: &str) -> Result<(), String> {
        let names = self.world.make(case.row.of, cell.whose).await;
        let told = self.tell(case, key, &names).await;
        let absent = names.without(case.row.of, self.world.fresh());
        let nothing = match cell.letter {
            '?' | '0' => Some(self.tell(case, key, &absent).await),
            _ => None,
        };
        self.judge(case, cell.letter, &names, told, nothing).map_err(|what| {
            let (method, of, whose) = (case.method, case.row.of, cell.whose);
            let role = Role::ALL.get(cell.role).map_or("desk", |role| role.name());
            format!(
                "{method} ({}, {}) of {of:?} by {role} {:?} about {whose:?}, which is to be {}: {what}",
                case.of, case.row.told, cell.caller, cell.letter
            )
        })
    }

    fn judge(
        &self,
        case: &Case<'_>,
        letter: char,
        names: &Names,
        told: Told,
        nothing: Option<Told>,
    ) -> Result<(), String> {
        let status = |told: &Told| told.as_ref().err().map(shape);
        let good = match letter {
            '+' | '=' | 'e' => {
                let answer = told.as_ref().map_err(|status| format!("{status:?}"))?;
                let decisions = self.contract.decisions(case.output, answer);
                let shows = case.row.shows.is_none_or(|shows| shows(names, answer) == (letter != 'e'));
                shows && decisions.iter().all(|decision| decision.refusal.is_none())
            }
            '?' => {
                let hidden = status(&told).filter(|hidden| hidden.0 == Code::NotFound);
                assert!(told.as_ref().err().is_none_or(|status| !reason(status).is_empty()));
                hidden.is_some() && hidden == nothing.as_ref().and_then(status)
            }
            '0' => {
                let nothing = nothing.as_ref().ok_or("it was not compared")?;
                self.refusals(case, &told)? == self.refusals(case, nothing)?
            }
            'r' => {
                let refused = self.refusals(case, &told)?;
                let code = |decision: &wire::Decision| decision.refusal.as_ref().map(wire::Refusal::code);
                refused.iter().all(|decision| code(decision) == case.row.refused)
            }
            '!' => {
                status(&told).is_some_and(|status| ![Code::Unauthenticated, Code::PermissionDenied].contains(&status.0))
            }
            '-' => told.as_ref().is_err_and(|status| reason(status) == "NOT_PERMITTED"),
            other => return Err(format!("{other} says nothing")),
        };
        let shown = |told: &Told| match told {
            Ok(answer) => format!("{:?}", self.contract.decisions(case.output, answer)),
            Err(status) => format!("{status:?}"),
        };
        good.then_some(()).ok_or_else(|| format!("{}, and of nothing {:?}", shown(&told), nothing.as_ref().map(shown)))
    }
}

/// Tries everything with these credentials.
pub async fn try_all(world: &World, credentials: &BTreeMap<(usize, Caller), String>) {
    let contract = Contract::read();
    let trial = Trial { world, contract: &contract };
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    let mut otherwise = Vec::new();
    for case in contract.cases() {
        for cell in case.cells() {
            let tried = trial.run(&case, &cell, &credentials[&(cell.role, cell.caller)]).await;
            otherwise.extend(tried.err());
            *counts.entry(cell.letter).or_default() += 1;
        }
        // What was proposed, so that there is room for more.
        world.clear().await;
    }
    println!("tried, by what is told: {counts:?}");
    assert!(otherwise.is_empty(), "{} are told otherwise:\n{}", otherwise.len(), otherwise.join("\n"));
    assert!(counts.values().sum::<usize>() > 800, "{counts:?}");
    assert!("+=e?0r!-".chars().all(|letter| counts.contains_key(&letter)), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_told_what_is_stated_of_every_method() {
    let world = World::open().await;
    let keys = keys(&world).await;
    try_all(&world, &keys).await;
}
