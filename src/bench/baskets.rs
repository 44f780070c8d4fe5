//! Requests that are encoded before they are needed: copies of a few hundred encoded baskets, in which only the
//! transaction id, the account and the receipt number are written anew.
//!
//! What must stay true: every request of a run has a transaction id and a receipt number of its own, whichever thread
//! makes it; the same seed gives the same accounts and baskets in the same order for a thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prost::Message;
use prost::bytes::{Bytes, BytesMut};
use prost_types::Timestamp;

use crate::ledger::types::TimestampNs;
use crate::service::wire;

/// Encoded baskets that requests are copied from.
const TEMPLATE_COUNT: usize = 1_024;
/// Numbers that a source takes at a time.
const BLOCK: u64 = 65_536;
/// What stands in a template where something else will be written. As long as what will stand there.
const ID_MARK: &str = "IIIIIIII-IIII-IIII-IIII-IIIIIIIIIIII";
const ACCOUNT_MARK: &str = "AAAAAAAA";
const RECEIPT_MARK: &str = "RRRRRRRRRRRR";

/// What a message of the load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An `AccrueRequest` of its own.
    Unary,
    /// One command of a `CommandStreamRequest`; several in a row are one request.
    Stream,
}

/// Where the lines of a basket come from.
#[derive(Clone, Debug)]
pub struct Assortment {
    /// Lines of a basket.
    pub line_count: usize,
    /// The currency of the programme.
    pub currency: String,
    /// The time on the receipts.
    pub receipt_at: TimestampNs,
    /// What the choice of lines depends on.
    pub seed: u64,
    /// Whether every line may earn, so that every account gets a lot; otherwise one in ten may not.
    pub all_eligible: bool,
}

/// One encoded basket and where the parts lie that differ from request to request.
#[derive(Clone, Debug)]
struct Template {
    bytes: Box<[u8]>,
    id_at: usize,
    account_at: usize,
    receipt_at: usize,
}

/// The encoded baskets of one shape. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Templates(Arc<[Template]>);

impl Templates {
    /// Draws and encodes baskets.
    #[must_use]
    pub fn new(shape: Shape, assortment: &Assortment) -> Self {
        let mut random = fastrand::Rng::with_seed(assortment.seed);
        Self((0..TEMPLATE_COUNT).map(|_| Template::new(shape, &basket(assortment, &mut random))).collect())
    }
}

impl Template {
    fn new(shape: Shape, basket: &wire::Basket) -> Self {
        let request = wire::AccrueRequest {
            account_identifier: None,
            transaction_id: ID_MARK.to_owned(),
            account_id: format!("member-{ACCOUNT_MARK}"),
            basket: Some(basket.clone()),
            posting_time: None,
        };
        let bytes = match shape {
            Shape::Unary => request.encode_to_vec(),
            Shape::Stream => {
                let command = wire::Command { command: Some(wire::command::Command::Accrue(request)) };
                wire::CommandStreamRequest { commands: vec![command] }.encode_to_vec()
            }
        };
        let at = |mark: &str| {
            let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
            found.expect("what was encoded is in the encoding")
        };
        let (id_at, account_at, receipt_at) = (at(ID_MARK), at(ACCOUNT_MARK), at(RECEIPT_MARK));
        Self { bytes: bytes.into(), id_at, account_at, receipt_at }
    }
}

/// A basket of a large store: every second line or so meets a rule.
fn basket(assortment: &Assortment, random: &mut fastrand::Rng) -> wire::Basket {
    // The last two departments are excluded by the programme.
    let department_count = if assortment.all_eligible { 18 } else { 20 };
    let lines = |random: &mut fastrand::Rng| wire::Line {
        sku: format!("sku-{:05}", random.u32(0..5_000)),
        category: format!("category-{:02}", random.u32(0..40)),
        department: format!("department-{:02}", random.u32(0..department_count)),
        brand: format!("brand-{:03}", random.u32(0..200)),
        margin_class: format!("margin-{}", random.char('a'..='e')),
        quantity: random.i64(1..4),
        amount_minor: random.i64(400..10_000),
    };
    let seconds = assortment.receipt_at.0.div_euclid(1_000_000_000);
    wire::Basket {
        store_id: format!("store-{:04}", random.u32(0..500)),
        terminal_id: format!("till-{:02}", random.u32(0..20)),
        cashier_id: format!("cashier-{:04}", random.u32(0..2_000)),
        receipt_number: RECEIPT_MARK.to_owned(),
        business_date: None,
        receipt_time: Some(Timestamp { seconds, nanos: 0 }),
        currency_code: assortment.currency.clone(),
        lines: (0..assortment.line_count).map(|_| lines(random)).collect(),
        channel: String::new(),
        payment_method: String::new(),
        member_id: String::new(),
        voucher_codes: Vec::new(),
    }
}

/// The numbers of a run: no two requests have the same. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<AtomicU64>);

/// Makes the requests of one thread.
#[derive(Clone, Debug)]
pub struct Source {
    templates: Templates,
    numbers: Numbers,
    random: fastrand::Rng,
    account_count: u64,
    next_number: u64,
    block_end: u64,
}

impl Source {
    /// Requests for accounts drawn evenly from so many, at least 1.
    #[must_use]
    pub fn new(templates: Templates, numbers: Numbers, account_count: u64, seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { templates, numbers, random, account_count: account_count.max(1), next_number: 0, block_end: 0 }
    }

    /// Adds a request for some account to the buffer.
    pub fn push(&mut self, out: &mut BytesMut) {
        let account = self.random.u64(0..self.account_count);
        self.push_for(account, out);
    }

    /// The id of an account by its number.
    #[must_use]
    pub fn account_id(account: u64) -> String {
        format!("member-{account:08}")
    }

    /// Adds a request for an account to the buffer.
    pub fn push_for(&mut self, account: u64, out: &mut BytesMut) {
        if self.next_number == self.block_end {
            self.next_number = self.numbers.0.fetch_add(BLOCK, Ordering::Relaxed);
            self.block_end = self.next_number + BLOCK;
        }
        let number = self.next_number;
        self.next_number += 1;
        let choice = self.random.usize(0..TEMPLATE_COUNT);
        let template = self.templates.0.get(choice).expect("the choice lies within the templates");
        let begin = out.len();
        out.extend_from_slice(&template.bytes);
        let bytes = out.get_mut(begin..).expect("the template was just added");
        write_id(part(bytes, template.id_at, ID_MARK.len()), number);
        write_decimal(part(bytes, template.account_at, ACCOUNT_MARK.len()), account);
        write_decimal(part(bytes, template.receipt_at, RECEIPT_MARK.len()), number);
    }

    /// One request in a buffer of its own.
    #[must_use]
    pub fn one(&mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(512);
        self.push(&mut out);
        out.freeze()
    }

    /// So many requests in one buffer.
    #[must_use]
    pub fn batch(&mut self, count: usize) -> Bytes {
        let mut out = BytesMut::with_capacity(count * 256);
        for _ in 0..count {
            self.push(&mut out);
        }
        out.freeze()
    }
}

fn part(bytes: &mut [u8], at: usize, len: usize) -> &mut [u8] {
    bytes.get_mut(at..at + len).expect("the marks lie within their template")
}

/// Writes a version-4 UUID. The last 48 bits are the number, so that no two are equal; the rest looks random.
fn write_id(out: &mut [u8], number: u64) {
    // The finaliser of SplitMix64 by Sebastiano Vigna.
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let high = mixed & !0xf000 | 0x4000;
    let low = 0x8000_0000_0000_0000 | (mixed & 0x3fff) << 48 | number & 0xffff_ffff_ffff;
    let digits = u128::from(high) << 64 | u128::from(low);
    let mut shift = 128;
    for (index, byte) in out.iter_mut().enumerate() {
        if [8, 13, 18, 23].contains(&index) {
            *byte = b'-';
            continue;
        }
        shift -= 4;
        let digit = u8::try_from((digits >> shift) & 0xf).expect("four bits fit a byte");
        *byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
}

/// Writes the last digits of a number, with zeros before it.
fn write_decimal(out: &mut [u8], mut number: u64) {
    for byte in out.iter_mut().rev() {
        *byte = b'0' + u8::try_from(number % 10).expect("a digit fits a byte");
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn assortment() -> Assortment {
        let receipt_at = TimestampNs(1_800_000_000_000_000_000);
        Assortment { line_count: 2, currency: "USD".to_owned(), receipt_at, seed: 7, all_eligible: false }
    }

    fn source(shape: Shape, numbers: &Numbers, seed: u64) -> Source {
        Source::new(Templates::new(shape, &assortment()), numbers.clone(), 1_000, seed)
    }

    #[test]
    fn a_request_is_what_a_client_would_have_encoded() {
        let mut source = source(Shape::Unary, &Numbers::default(), 1);
        let request = wire::AccrueRequest::decode(source.one()).unwrap();
        assert_eq!(request.transaction_id.len(), 36);
        assert_eq!(request.transaction_id.as_bytes()[14], b'4');
        assert!(request.account_id.starts_with("member-0000"), "{}", request.account_id);
        let basket = request.basket.unwrap();
        assert_eq!(basket.receipt_number, "000000000000");
        assert_eq!(basket.lines.len(), 2);
    }

    #[test]
    fn a_batch_is_one_request_of_many_commands() {
        let mut source = source(Shape::Stream, &Numbers::default(), 1);
        let request = wire::CommandStreamRequest::decode(source.batch(100)).unwrap();
        assert_eq!(request.commands.len(), 100);
    }

    #[test]
    fn no_two_requests_of_a_run_have_the_same_id_or_receipt() {
        let numbers = Numbers::default();
        let (mut ids, mut receipts) = (HashSet::new(), HashSet::new());
        for seed in 0..3 {
            let mut source = source(Shape::Unary, &numbers, seed);
            for _ in 0..70_000 {
                let request = wire::AccrueRequest::decode(source.one()).unwrap();
                assert!(ids.insert(request.transaction_id));
                assert!(receipts.insert(request.basket.unwrap().receipt_number));
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        let requests = || source(Shape::Stream, &Numbers::default(), 5).batch(50);
        assert_eq!(requests(), requests());
    }
}
