//! Numbers and advice of refusals.
//!
//! What must stay true: what is remembered asks for a new id, and what passes by itself for the same.

use super::*;

#[test]
fn numbers_are_permanent_and_complete() {
    // Numbers are given out in blocks, so there are gaps.
    assert!(Refusal::ALL.is_sorted_by_key(|refusal| refusal.number()));
    for refusal in Refusal::ALL {
        assert_eq!(Refusal::from_number(refusal.number()), Some(refusal));
        assert!(refusal.sentence().ends_with('.'));
    }
    assert_eq!(Refusal::from_number(0), None);
    assert_eq!(Refusal::from_number(u8::MAX), None);
}

#[test]
fn a_refusal_that_is_remembered_asks_for_a_new_id() {
    for refusal in Refusal::ALL {
        if refusal.is_journaled() {
            assert_eq!(refusal.retry(), RetryAdvice::NewId, "{refusal:?}");
        }
    }
}

#[test]
fn what_passes_by_itself_consumed_nothing_and_asks_for_the_same_id() {
    for refusal in Refusal::ALL.into_iter().filter(|refusal| refusal.is_transient()) {
        assert!(!refusal.is_journaled(), "{refusal:?}");
        assert_eq!(refusal.retry(), RetryAdvice::SameId, "{refusal:?}");
    }
}

#[test]
fn a_command_that_no_waiting_mends_is_not_asked_for_again() {
    assert_eq!(Refusal::InvalidCommand.retry(), RetryAdvice::Never);
    assert!(!Refusal::OriginalUnknown.is_transient(), "the original has to come first");
}
