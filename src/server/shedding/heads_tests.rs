//! The examples of the standard, and whatever else may come: what headers say, and what of them is remembered.

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What a block says of the path, whether it changes the table, and the bytes of the table after it.
fn read(heads: &mut Heads, hex: &str) -> (bool, bool, usize) {
    let head = heads.read(&bytes(hex)).expect("it is a block");
    (head.is_sought, head.changes_table, heads.table_bytes)
}

#[test]
fn the_examples_of_the_standard_are_read() {
    // Appendix C.2, C.3 and C.4: requests as literals, by index, and in the code of Huffman.
    let mut heads = Heads::new("/sample/path");
    assert_eq!(read(&mut heads, "400a637573746f6d2d6b65790d637573746f6d2d686561646572"), (false, true, 55));
    assert_eq!(read(&mut heads, "040c2f73616d706c652f70617468"), (true, false, 55));
    assert_eq!(read(&mut heads, "100870617373776f726406736563726574"), (false, false, 55));
    for requests in [
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ],
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
    ] {
        let mut heads = Heads::new("/index.html");
        let expected = [(false, true, 57), (false, true, 110), (true, true, 164)];
        assert_eq!(requests.map(|request| read(&mut heads, request)), expected);
    }
}

#[test]
fn a_small_table_forgets_its_oldest_entries() {
    // Appendix C.6, after a table of 256 bytes was agreed upon.
    let mut heads = Heads::new("/");
    assert_eq!(read(&mut heads, "3fe101"), (false, true, 0));
    for (response, table_bytes) in [
        (
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            222,
        ),
        ("4883640effc1c0bf", 222),
        (
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            215,
        ),
    ] {
        assert_eq!(read(&mut heads, response), (false, true, table_bytes));
    }
}

#[test]
fn what_is_no_block_is_said_to_be_none() {
    for (what, hex) in [
        ("index 0", "80"),
        ("an index that no table has", "be"),
        ("a name that no table has", "7f00"),
        ("a text that is cut short", "0003"),
        ("an integer without an end", "ffffffffffffffff"),
        ("a table that is larger than may be", "3fe17f"),
        ("the symbol of the end", "0084ffffffff00"),
        ("padding of zeros", "00810000"),
    ] {
        assert_eq!(Heads::new("/").read(&bytes(hex)), None, "{what}");
    }
}

#[test]
fn what_is_remembered_ends_with_a_change_of_the_table() {
    let mut heads = Heads::new("/a");
    // `:path: /a` enters the table, and is called by its place.
    assert_eq!(read(&mut heads, "44022f61"), (true, true, 39));
    assert_eq!(read(&mut heads, "be"), (true, false, 39));
    assert_eq!(read(&mut heads, "be"), (true, false, 39));
    // Another entry takes its place.
    assert_eq!(read(&mut heads, "44022f62"), (false, true, 78));
    assert_eq!(read(&mut heads, "be"), (false, false, 78));
    assert_eq!(read(&mut heads, "bf"), (true, false, 78));
}

/// A field as a caller writes it: whether it enters the table, and its name and value.
type Written = (bool, u8, u8);

fn name(number: u8) -> Vec<u8> {
    if number == 0 { PATH.to_vec() } else { vec![b'a'; usize::from(number)] }
}

proptest! {
    #[test]
    fn the_path_is_found_wherever_it_stands(
        blocks in prop::collection::vec(prop::collection::vec(any::<(bool, u8, u8)>(), 0..6), 0..40),
    ) {
        let mut heads = Heads::new("/x");
        for block in blocks {
            let mut written = Vec::new();
            let mut fields = block.iter().map(|(enters, name, value): &Written| (*enters, name % 4, value % 3));
            for (enters, number, value) in fields.clone() {
                written.push(if enters { 0x40 } else { 0 });
                let value = [&b"/x"[..], b"/y", b""][usize::from(value)];
                for text in [&*name(number), value] {
                    written.push(u8::try_from(text.len()).unwrap());
                    written.extend_from_slice(text);
                }
            }
            let expected = Head {
                is_sought: fields.clone().any(|(_, name, value)| name == 0 && value == 0),
                changes_table: fields.clone().any(|(enters, ..)| enters),
            };
            prop_assert_eq!(heads.read(&written), Some(expected));
            prop_assert!(heads.table_bytes <= TABLE_BYTES);
            // The newest entry is the first of the dynamic table.
            if let Some((_, name, value)) = fields.rfind(|(enters, ..)| *enters) {
                let newest = heads.read(&[0xbe]).expect("there is an entry");
                prop_assert_eq!(newest.is_sought, name == 0 && value == 0);
            }
        }
    }

    #[test]
    fn anything_can_be_read(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut heads = Heads::new("/x");
        for block in blocks {
            heads.read(&block);
            prop_assert!(heads.table_bytes <= TABLE_BYTES);
        }
    }
}
