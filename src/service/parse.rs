//! Reads accruals where they lie in the bytes of a request (protobuf.dev, "Encoding"), without building a message.
//!
//! What must stay true: what is read here is what a decoder of whole messages reads from the same bytes. Whatever is
//! out of the ordinary, from a message that is given in two pieces to bytes that are no message at all, is not judged
//! here but left to that decoder: [`Unusual`].

use prost::Message;
use prost_types::Timestamp;

use super::view::{AccrualView, BasketView, LineView};
use super::wire;

/// The bytes are not an ordinary message of this kind. The decoder of whole messages knows what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unusual;

/// The kinds of values that occur in the hot messages.
const VARINT: u64 = 0;
const DELIMITED: u64 = 2;

/// What lies under one tag.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Reads one message field by field.
struct Fields<'a> {
    bytes: &'a [u8],
    /// The bytes with which the message begins, keys and lengths too, as far as they are ASCII: texts come first, and are
    /// found to be texts all at once.
    plain: &'a str,
    /// Bytes of the whole message.
    length: usize,
}

impl<'a> Fields<'a> {
    /// For messages in which texts are seldom.
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, plain: "", length: bytes.len() }
    }

    /// For messages that begin with texts.
    fn of_texts(bytes: &'a [u8]) -> Self {
        let plain = std::str::from_utf8(&bytes[..plain_length(bytes)]).unwrap_or_default();
        Self { bytes, plain, length: bytes.len() }
    }

    /// What was read last, which is a text of the message.
    fn text(&self, value: Value<'a>) -> Result<&'a str, Unusual> {
        let bytes = value.bytes()?;
        let end = self.length - self.bytes.len();
        match self.plain.get(end - bytes.len()..end) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(bytes).map_err(|_| Unusual),
        }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Unusual> {
        // Nearly all keys and lengths take one byte.
        match self.bytes.split_first() {
            Some((first, rest)) if *first < 0x80 => {
                self.bytes = rest;
                Ok(u64::from(*first))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Unusual> {
        let mut value = 0;
        for (index, byte) in self.bytes.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if index == 9 && bits > 1 {
                return Err(Unusual);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[index + 1..];
                return Ok(value);
            }
        }
        Err(Unusual)
    }

    /// The next field: its number and its value. `None` at the end of the message.
    #[inline]
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Unusual> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            VARINT => Value::Number(self.varint()?),
            DELIMITED => {
                let length = usize::try_from(self.varint()?).map_err(|_| Unusual)?;
                let (value, rest) = self.bytes.split_at_checked(length).ok_or(Unusual)?;
                self.bytes = rest;
                Value::Bytes(value)
            }
            _ => return Err(Unusual),
        };
        Ok(Some((key >> 3, value)))
    }
}

impl<'a> Value<'a> {
    fn bytes(self) -> Result<&'a [u8], Unusual> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(Unusual),
        }
    }

    fn int64(self) -> Result<i64, Unusual> {
        match self {
            Self::Number(number) => Ok(i64::from_ne_bytes(number.to_ne_bytes())),
            Self::Bytes(_) => Err(Unusual),
        }
    }

    fn int32(self) -> Result<i32, Unusual> {
        i32::try_from(self.int64()?).map_err(|_| Unusual)
    }
}

/// How many bytes there are before the first that is not ASCII, or a few less.
fn plain_length(bytes: &[u8]) -> usize {
    const NOT_ASCII: u64 = 0x8080_8080_8080_8080;
    let (words, rest) = bytes.as_chunks::<8>();
    let is_plain = |word: &[u8; 8]| u64::from_le_bytes(*word) & NOT_ASCII == 0;
    match words.iter().position(|word| !is_plain(word)) {
        Some(words_before) => {
            let word = u64::from_le_bytes(words[words_before]) & NOT_ASCII;
            words_before * 8 + word.trailing_zeros() as usize / 8
        }
        None => bytes.len() - if rest.is_ascii() { 0 } else { rest.len() },
    }
}

/// A message field that may be given once.
fn once<T>(field: &mut Option<T>, value: T) -> Result<(), Unusual> {
    if field.replace(value).is_some() { Err(Unusual) } else { Ok(()) }
}

/// The messages that a list lies in as its field 1, and nothing else.
pub(super) fn list(bytes: &[u8]) -> impl Iterator<Item = Result<&[u8], Unusual>> {
    let mut fields = Fields::new(bytes);
    std::iter::from_fn(move || match fields.next() {
        Ok(None) => None,
        Ok(Some((1, value))) => Some(value.bytes()),
        Ok(Some(_)) | Err(Unusual) => {
            fields.bytes = &[];
            Some(Err(Unusual))
        }
    })
}

/// The accrual in a `Command`; [`Unusual`] for any other.
pub(super) fn accrual_of_command(bytes: &[u8]) -> Result<AccrualView<'_>, Unusual> {
    let mut fields = Fields::new(bytes);
    match (fields.next()?, fields.next()?) {
        (Some((1, value)), None) => accrual(value.bytes()?),
        _ => Err(Unusual),
    }
}

/// An `AccrueRequest`.
pub(super) fn accrual(bytes: &[u8]) -> Result<AccrualView<'_>, Unusual> {
    let mut view = AccrualView::default();
    let mut fields = Fields::of_texts(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => view.transaction_id = fields.text(value)?,
            2 => view.account_id = fields.text(value)?,
            3 if view.basket.is_none() => basket(value.bytes()?, view.basket.insert(BasketView::default()))?,
            4 => once(&mut view.posting_time, timestamp(value.bytes()?)?)?,
            _ => return Err(Unusual),
        }
    }
    Ok(view)
}

/// Whether the first fields of a message are those up to a number and no others: their bytes then name what they hold.
struct Head {
    last_field: u64,
    bytes: usize,
    is_apart: bool,
}

impl Head {
    fn of_fields_up_to(last_field: u64) -> Self {
        Self { last_field, bytes: 0, is_apart: true }
    }

    /// A field was read that ends at this byte of the message.
    fn read(&mut self, number: u64, from: usize, to: usize) {
        if number <= self.last_field {
            self.is_apart &= from == self.bytes;
            self.bytes = to;
        }
    }

    fn of<'a>(&self, message: &'a [u8]) -> Option<&'a [u8]> {
        self.is_apart.then(|| &message[..self.bytes])
    }
}

/// Reads a basket into an empty one, where it will be looked at.
fn basket<'a>(bytes: &'a [u8], view: &mut BasketView<'a>) -> Result<(), Unusual> {
    let mut head = Head::of_fields_up_to(3);
    let mut fields = Fields::of_texts(bytes);
    let mut from = 0;
    while let Some((number, value)) = fields.next()? {
        let to = bytes.len() - fields.bytes.len();
        head.read(number, from, to);
        from = to;
        match number {
            1 => view.store_id = fields.text(value)?,
            2 => view.terminal_id = fields.text(value)?,
            3 => view.cashier_id = fields.text(value)?,
            4 => view.receipt_number = fields.text(value)?,
            5 => once(&mut view.business_date, date(value.bytes()?)?)?,
            6 => once(&mut view.receipt_time, timestamp(value.bytes()?)?)?,
            7 => view.currency_code = fields.text(value)?,
            8 => view.lines.push(line(value.bytes()?)?),
            9 => view.channel = fields.text(value)?,
            10 => view.payment_method = fields.text(value)?,
            11 => view.member_id = fields.text(value)?,
            _ => return Err(Unusual),
        }
    }
    view.place_bytes = head.of(bytes);
    Ok(())
}

fn line(bytes: &[u8]) -> Result<LineView<'_>, Unusual> {
    let mut view = LineView::default();
    let mut head = Head::of_fields_up_to(5);
    let mut fields = Fields::of_texts(bytes);
    let mut from = 0;
    while let Some((number, value)) = fields.next()? {
        let to = bytes.len() - fields.bytes.len();
        head.read(number, from, to);
        from = to;
        match number {
            1 => view.sku = fields.text(value)?,
            2 => view.category = fields.text(value)?,
            3 => view.department = fields.text(value)?,
            4 => view.brand = fields.text(value)?,
            5 => view.margin_class = fields.text(value)?,
            6 => view.quantity = value.int64()?,
            7 => view.amount_minor = value.int64()?,
            _ => return Err(Unusual),
        }
    }
    view.item_bytes = head.of(bytes);
    Ok(view)
}

fn timestamp(bytes: &[u8]) -> Result<Timestamp, Unusual> {
    let mut time = Timestamp::default();
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => time.seconds = value.int64()?,
            2 => time.nanos = value.int32()?,
            _ => return Err(Unusual),
        }
    }
    Ok(time)
}

fn date(bytes: &[u8]) -> Result<wire::Date, Unusual> {
    let mut date = wire::Date::default();
    let mut fields = Fields::new(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => date.year = value.int32()?,
            2 => date.month = value.int32()?,
            3 => date.day = value.int32()?,
            _ => return Err(Unusual),
        }
    }
    Ok(date)
}

/// The view without where its parts lie: what a decoded message can tell.
fn told(mut view: AccrualView<'_>) -> AccrualView<'_> {
    if let Some(basket) = &mut view.basket {
        basket.place_bytes = None;
        basket.lines.iter_mut().for_each(|line| line.item_bytes = None);
    }
    view
}

fn same<'a>(what: &str, view: AccrualView<'a>, decoded: Option<&'a wire::AccrueRequest>) -> Result<(), String> {
    let view = told(view);
    let decoded = decoded.map(AccrualView::from);
    if decoded.as_ref() == Some(&view) {
        return Ok(());
    }
    Err(format!("{what} is read in place as {view:?}, and decoded as {decoded:?}"))
}

/// Whether what is read in place from some bytes is what the decoder of whole messages reads from them, whatever they
/// are: an accrual, a command or a list of accruals. Says how many of these three were read in place.
///
/// # Errors
/// With the difference.
pub fn reads_alike(bytes: &[u8]) -> Result<usize, String> {
    let whole = wire::AccrueRequest::decode(bytes).ok();
    let command = wire::Command::decode(bytes).ok().and_then(|command| match command.command {
        Some(wire::command::Command::Accrue(request)) => Some(request),
        _ => None,
    });
    let batch = wire::AccrueBatchRequest::decode(bytes).map(|batch| batch.requests).unwrap_or_default();
    let mut read_count = 0;
    if let Ok(view) = accrual(bytes) {
        read_count += 1;
        same("an accrual", view, whole.as_ref())?;
    }
    if let Ok(view) = accrual_of_command(bytes) {
        read_count += 1;
        same("a command", view, command.as_ref())?;
    }
    let items: Result<Vec<_>, Unusual> = list(bytes).map(|item| item.and_then(accrual)).collect();
    if let Ok(views) = items {
        read_count += 1;
        if batch.len() != views.len() {
            return Err(format!("a list has {} items in place, and {} decoded", views.len(), batch.len()));
        }
        for (view, decoded) in views.into_iter().zip(&batch) {
            same("an item", view, Some(decoded))?;
        }
    }
    Ok(read_count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
        prop::option::of((any::<i64>(), any::<i32>()).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos }))
    }

    fn any_line() -> impl Strategy<Value = wire::Line> {
        let texts = prop::array::uniform5("[a-zà-ž0-9]{0,9}");
        (texts, any::<i64>(), 0..200_000_i64).prop_map(|(texts, quantity, amount_minor)| {
            let [sku, category, department, brand, margin_class] = texts;
            wire::Line { sku, category, department, brand, margin_class, quantity, amount_minor }
        })
    }

    fn any_basket() -> impl Strategy<Value = wire::Basket> {
        let texts = prop::array::uniform8("[a-zà-ž0-9]{0,9}");
        let date = prop::option::of((any::<i32>(), -2..14_i32, 0..40_i32));
        (texts, date, any_time(), prop::collection::vec(any_line(), 0..11)).prop_map(|(texts, date, time, lines)| {
            let [store_id, terminal_id, cashier_id, receipt_number, currency_code, channel, payment_method, member_id] =
                texts;
            let business_date = date.map(|(year, month, day)| wire::Date { year, month, day });
            wire::Basket {
                store_id,
                terminal_id,
                cashier_id,
                receipt_number,
                business_date,
                receipt_time: time,
                currency_code,
                lines,
                channel,
                payment_method,
                member_id,
                voucher_codes: Vec::new(),
            }
        })
    }

    fn any_accrual() -> impl Strategy<Value = wire::AccrueRequest> {
        ("[a-z0-9-]{0,40}", "[a-z0-9]{0,20}", prop::option::of(any_basket()), any_time()).prop_map(
            |(transaction_id, account_id, basket, posting_time)| wire::AccrueRequest {
                account_identifier: None,
                transaction_id,
                account_id,
                basket,
                posting_time,
            },
        )
    }

    #[test]
    fn what_is_named_first_is_known_by_its_bytes() {
        let line =
            wire::Line { sku: "s".into(), brand: "b".into(), quantity: 2, amount_minor: 9, ..Default::default() };
        let basket = wire::Basket { store_id: "x".into(), lines: vec![line], ..Default::default() };
        let bytes = wire::AccrueRequest { basket: Some(basket), ..Default::default() }.encode_to_vec();
        let basket = accrual(&bytes).unwrap().basket.unwrap();
        assert_eq!(basket.place_bytes, Some(&[0x0a, 1, b'x'][..]));
        assert_eq!(basket.lines[0].item_bytes, Some(&[0x0a, 1, b's', 0x22, 1, b'b'][..]));
        let quantity_first = [0x30, 2, 0x0a, 1, b's'];
        assert_eq!(super::line(&quantity_first).unwrap().item_bytes, None, "the name does not come first");
    }

    proptest! {
        #[test]
        fn what_an_encoder_writes_is_read_as_it_was_meant(request in any_accrual()) {
            let bytes = request.encode_to_vec();
            prop_assert_eq!(accrual(&bytes).map(told), Ok(AccrualView::from(&request)));
            let command = wire::Command { command: Some(wire::command::Command::Accrue(request.clone())) };
            let bytes = command.encode_to_vec();
            prop_assert_eq!(accrual_of_command(&bytes).map(told), Ok(AccrualView::from(&request)));
        }

        #[test]
        fn damaged_bytes_are_read_as_the_decoder_reads_them_or_left_to_it(
            request in any_accrual(), at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = request.encode_to_vec();
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            prop_assert!(reads_alike(&bytes).is_ok(), "{:?}", reads_alike(&bytes));
        }
    }

    #[test]
    fn what_is_out_of_the_ordinary_is_left_to_the_decoder() {
        let request = wire::AccrueRequest { basket: Some(wire::Basket::default()), ..wire::AccrueRequest::default() };
        let twice = [request.encode_to_vec(), request.encode_to_vec()].concat();
        assert_eq!(accrual(&twice), Err(Unusual), "a basket in two pieces");
        assert_eq!(accrual(&[0x50, 1]), Err(Unusual), "a field of a later contract");
        assert_eq!(accrual(&[0x0a, 1, 0xff]), Err(Unusual), "a string that is not text");
        assert_eq!(accrual(&[0x0a, 9]), Err(Unusual), "less than was announced");
        assert_eq!(accrual(&[0x0d, 0, 0, 0, 0]), Err(Unusual), "a number of fixed size");
    }

    #[test]
    fn a_list_is_read_item_by_item_and_ends_at_what_is_unusual() {
        let items: Vec<_> = list(&[0x0a, 1, 7, 0x0a, 0]).collect();
        assert_eq!(items, [Ok(&[7][..]), Ok(&[][..])]);
        let items: Vec<_> = list(&[0x0a, 1, 7, 0x10, 1, 0x0a, 0]).collect();
        assert_eq!(items, [Ok(&[7][..]), Err(Unusual)]);
    }
}
