//! What the time of an answer says: of its posting, as far as it follows from what was known when the call began, and of its
//! deadline.
//!
//! What must stay true: nothing here is taken from the ledger's own way of telling time but the stamps that it was given; what
//! bounds a posting from above was durable when it was decided.

use super::clients::Begun;
use super::facts::Posting;
use super::model::Model;

const NS_PER_DAY: i64 = 86_400_000_000_000;

/// So many days before the latest posting that is durable, what shared windows held may be forgotten, and nothing is posted
/// into them any more.
const FORGOTTEN_DAYS: i64 = 2;

impl Begun {
    /// Whether the deadline had passed when the call was decided, if it was.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.deadline_ns.zip(self.decided_ns).is_some_and(|(deadline_ns, decided_ns)| deadline_ns <= decided_ns)
    }
}

impl Model {
    /// The latest time at which a call can have been posted, of which this is the record: at its stamp, or when time had come
    /// so far before, by its shard's record before, by a freeze or thaw, or by what was forgotten.
    #[must_use]
    pub fn latest_time_of(&self, posting: &Posting, begun: &Begun) -> i64 {
        let place = posting.seq.checked_sub(1).and_then(|seq| self.by_seq.get(&(posting.shard, seq)));
        let before = place.and_then(|index| self.postings.get(*index)).map(|before| before.posted_at);
        let own = before.map_or(begun.stamp, |before| before.max(begun.stamp));
        if begun.clock_is_input {
            return own;
        }
        let latest = self.shards.values().map(|(_, posted_at, _)| *posted_at).max();
        let forgotten =
            latest.map(|latest| (latest.div_euclid(NS_PER_DAY) - FORGOTTEN_DAYS).saturating_mul(NS_PER_DAY));
        [self.freezes.latest(), forgotten].into_iter().flatten().fold(own, i64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::PreviousRecord;
    use crate::ledger::decision::{Decision, Refusal};
    use crate::ledger::types::Position;
    use crate::sim::clients::{Clients, Verified};
    use crate::sim::edge::Answer;
    use crate::sim::facts::{Action, Name, Request, Verdict};
    use crate::sim::freezes::Frozen;
    use crate::sim::model::Broken;

    const STAMP: i64 = 10 * NS_PER_DAY;
    const BEGUN: Begun = Begun {
        settled: 0,
        stamp: STAMP,
        deadline_ns: None,
        clock_is_input: false,
        taken: None,
        latest_freeze: None,
        freeze_count: None,
        decided_ns: Some(50),
    };

    fn request() -> Request {
        let action = Action::Enrol { account: "m".into(), joins: Vec::new(), leaves: Vec::new() };
        Request { partner: "north".into(), transaction_id: "t".into(), named_by: None, member: Name::default(), action }
    }

    /// The record of the request, the second of its shard.
    fn posting(posted_at: i64) -> Posting {
        let Request { partner, transaction_id, named_by, member, action } = request();
        Posting {
            position: 7,
            frame: 7,
            shard: 1,
            seq: 2,
            posted_at,
            previous: PreviousRecord::None,
            account: "m".into(),
            partner,
            partner_number: 1,
            transaction_id,
            named_by,
            member,
            action,
            verdict: Verdict::default(),
            uses: Vec::new(),
            decision: Decision::default(),
        }
    }

    /// What has been posted before, in its shard and in another; the request is posted at this time.
    fn model(before: i64, elsewhere: i64, posted_at: i64) -> Model {
        let mut model = Model::default();
        let first = Posting { position: 6, seq: 1, transaction_id: "s".into(), ..posting(before) };
        for (index, posting) in [first, posting(posted_at)].into_iter().enumerate() {
            model.by_id.insert((posting.partner.clone(), posting.transaction_id.clone()), index);
            model.by_seq.insert((posting.shard, posting.seq), index);
            model.postings.push(posting);
        }
        model.shards.insert(1, (2, posted_at, Vec::new()));
        model.shards.insert(2, (1, elsewhere, Vec::new()));
        model
    }

    fn told(begun: Begun, answer: &Answer, model: &Model, outside_only: bool) -> Result<Verified, Broken> {
        let mut clients = Clients::new(outside_only);
        let index = clients.add(request());
        clients.begin(3, index, begun);
        clients.told(3, answer, model, false)
    }

    fn done(posted_at: i64, replayed: bool) -> Answer {
        Answer::Done { position: Some(Position(7)), posted_at, decision: Box::default(), replayed }
    }

    #[track_caller]
    fn check_posted(begun: Begun, model: &Model, posted_at: i64, says: Option<&str>) {
        let found = told(begun, &done(posted_at, false), model, false);
        match says {
            None => assert_eq!(found, Ok(Verified::New)),
            Some(says) => assert!(found.as_ref().is_err_and(|found| found.contains(says)), "{found:?}"),
        }
    }

    const TOO_EARLY: Option<&str> = Some("before it was stamped");
    const TOO_LATE: Option<&str> = Some("is posted no later than");

    #[test]
    fn what_is_new_is_posted_when_it_is_stamped_or_as_late_as_time_had_come() {
        let check = |begun: Begun, (before, elsewhere), posted_at, says| {
            check_posted(begun, &model(before, elsewhere, posted_at), posted_at, says);
        };
        let (old, input) = (STAMP - 5, Begun { clock_is_input: true, ..BEGUN });
        check(BEGUN, (old, old), STAMP, None);
        check(BEGUN, (old, old), STAMP - 1, TOO_EARLY);
        check(BEGUN, (old, old), STAMP + 1, TOO_LATE);
        check(BEGUN, (old, STAMP + 5), STAMP + 5, TOO_LATE);
        check(BEGUN, (STAMP + 5, old), STAMP + 5, None);
        check(BEGUN, (STAMP + 5, old), STAMP + 6, TOO_LATE);
        // What was posted elsewhere days later may have had windows forgotten.
        let elsewhere = STAMP + 5 * NS_PER_DAY + 5;
        check(BEGUN, (old, elsewhere), STAMP + 3 * NS_PER_DAY, None);
        check(BEGUN, (old, elsewhere), STAMP + 3 * NS_PER_DAY + 1, TOO_LATE);
        check(input, (old, elsewhere), STAMP, None);
        check(input, (old, elsewhere), STAMP + 1, TOO_LATE);
        // Nothing is posted before what was frozen last.
        let mut frozen = model(old, old, STAMP + 9);
        frozen.freezes.take(Frozen::Account(Name::from("n")), true, STAMP + 9);
        check_posted(BEGUN, &frozen, STAMP + 9, None);
        check_posted(input, &frozen, STAMP + 9, TOO_LATE);
    }

    #[test]
    fn what_is_told_again_was_posted_when_it_was() {
        for posted_at in [STAMP - 3, STAMP + 3] {
            let model = model(STAMP - 5, STAMP - 5, posted_at);
            assert_eq!(told(BEGUN, &done(posted_at, true), &model, false), Ok(Verified::Again));
        }
    }

    #[test]
    fn clients_see_from_outside_that_a_posting_lies_before_its_stamp() {
        let model = Model::default();
        assert_eq!(told(BEGUN, &done(STAMP, false), &model, true), Ok(Verified::New));
        assert!(told(BEGUN, &done(STAMP - 1, false), &model, true).is_err());
    }

    #[test]
    fn only_what_is_late_is_refused_for_its_deadline_and_nothing_else_becomes_of_it() {
        let refused = |refusal, posted_at| Answer::Refused { refusal, difference: None, posted_at };
        let expired = refused(Refusal::DeadlineExpired, Some(STAMP));
        for (deadline_ns, is_late) in [(None, false), (Some(51), false), (Some(50), true), (Some(7), true)] {
            let begun = Begun { deadline_ns, ..BEGUN };
            let model = Model::default();
            assert_eq!(told(begun, &expired, &model, false).is_ok(), is_late, "{deadline_ns:?}");
            // That no version is in force yet is right of a worker, and that there is too much to do of the edge.
            let not_in_force = refused(Refusal::ProgramNotInForce, Some(STAMP));
            assert_eq!(told(begun, &not_in_force, &model, false).is_ok(), !is_late, "{deadline_ns:?}");
            assert!(told(begun, &refused(Refusal::Overloaded, None), &model, false).is_ok(), "{deadline_ns:?}");
            assert_eq!(told(begun, &done(STAMP, false), &model, true).is_ok(), !is_late, "{deadline_ns:?}");
        }
        let undecided = Begun { deadline_ns: Some(7), decided_ns: None, ..BEGUN };
        assert!(told(undecided, &expired, &Model::default(), false).is_err(), "only a worker looks at deadlines");
    }
}
