//! The order in which people expect ids: digits count as numbers, so that 9 comes before 10 and `store-9` before
//! `store-10`.
//!
//! What must stay true: it is a total order, and equal only for equal strings.

use std::cmp::Ordering;

/// Compares two ids.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (mut a, mut b) = (left.as_bytes(), right.as_bytes());
    while let (Some(&first_a), Some(&first_b)) = (a.first(), b.first()) {
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, rest_a) = split_number(a);
            let (number_b, rest_b) = split_number(b);
            (a, b) = (rest_a, rest_b);
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            (a, b) = (a.get(1..).unwrap_or_default(), b.get(1..).unwrap_or_default());
            first_a.cmp(&first_b)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    // Leading zeros do not count above; they do here, so that only equal strings are equal.
    a.len().cmp(&b.len()).then_with(|| left.cmp(right))
}

/// The digits at the front without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let start = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    (digits.get(start..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_compared_as_numbers() {
        let sorted = [
            "",
            "0",
            "1",
            "2",
            "09",
            "9",
            "10",
            "100",
            "100000000000000000000000",
            "a",
            "a02",
            "a2",
            "a2b",
            "a10",
            "b",
        ];
        let mut shuffled = sorted;
        shuffled.reverse();
        shuffled.sort_by(|a, b| compare(a, b));
        assert_eq!(shuffled, sorted);
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(a in "[0-2a-b]{0,6}", b in "[0-2a-b]{0,6}", c in "[0-2a-b]{0,6}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            if compare(&a, &b) != Ordering::Greater && compare(&b, &c) != Ordering::Greater {
                prop_assert!(compare(&a, &c) != Ordering::Greater, "{a} {b} {c}");
            }
        }

        #[test]
        fn plain_numbers_are_in_their_order(a in 0..u32::MAX, b in 0..u32::MAX) {
            prop_assert_eq!(compare(&a.to_string(), &b.to_string()), a.cmp(&b));
        }
    }
}
