//! What a worker does at a stretch beside commands: a step of the sweep for what has died, and a page of what is held.
//!
//! What must stay true: neither takes longer where there are more accounts, and the next goes on where it ended.

use std::sync::Arc;
use std::sync::mpsc::channel;

use tallystick::ledger::held::HeldName;
use tallystick::ledger::types::{AccountNumber, ShardId, SymbolId, TimestampNs};
use tallystick::limits;
use tallystick::shard::job::{HeldPage, HeldQuery, Job};
use tallystick::store::memory::MemoryStore;

use crate::support::rig::Rig;
use crate::support::{NOON, NS_PER_DAY, Setup, programs};

/// So many accounts of one shard, each with 25 units, and one that came three days later.
fn rig(account_count: usize, earn: &str, more: &str) -> Rig {
    let mut rig = Rig::new(Arc::new(MemoryStore::new()), Setup { shard_count: 1, ..Setup::default() });
    rig.publish(&programs::program("", earn, more), TimestampNs(i64::MIN));
    for number in 0..account_count {
        rig.accrue(&format!("m-{number}"), 2_500, NOON);
        if number % 100 == 99 {
            rig.commit();
        }
    }
    rig.accrue("later", 100, LATER);
    rig.commit();
    rig
}

const LATER: TimestampNs = TimestampNs(NOON.0 + 3 * NS_PER_DAY);

#[test]
fn a_step_of_the_sweep_looks_at_some_accounts_and_posts_few_records() {
    let posted_by_steps = |expiry: &str| {
        let mut rig = rig(200, expiry, "");
        let mut posted = Vec::new();
        while rig.worker.is_sweeping() {
            let before = rig.committer.chain().next.0;
            rig.worker.sweep_step(LATER);
            rig.commit();
            posted.push(rig.committer.chain().next.0 - before);
        }
        posted
    };
    assert_eq!(posted_by_steps("expiry = { after_days = 30 }"), [0, 0], "128 accounts, which live, and the rest");
    let all_died = [vec![16; 12], vec![8]].concat();
    assert_eq!(posted_by_steps("expiry = { after_days = 1 }"), all_died);
}

#[test]
fn a_page_of_what_is_held_looks_at_so_many_accounts() {
    const WATCH: &str =
        "[[caps]]\nname = \"watch\"\nmeasure = \"units\"\nwindow = \"day\"\nlimit = 20\nover = \"hold\"\n";
    let mut rig = rig(limits::HELD_ACCOUNTS_LOOKED_AT_MAX + 1, "", WATCH);
    let mut page = |partner, from| -> HeldPage {
        let (told, answer) = channel();
        let reply = Box::new(move |page| told.send(page).expect("the asker waits"));
        let query = HeldQuery { shard: ShardId(0), partner, from, count_max: 10, reply };
        rig.worker.execute(Job::Held(Box::new(query)), 0);
        answer.recv().expect("everything is durable")
    };
    let first = (AccountNumber(0), HeldName::default());
    assert_eq!(page(None, first.clone()).found.len(), 10, "of all accounts but the last something is held");
    // Of a partner of which nothing is held.
    let nobody = Some(SymbolId::UNKNOWN);
    let found = page(nobody, first);
    let behind = AccountNumber(u32::try_from(limits::HELD_ACCOUNTS_LOOKED_AT_MAX).expect("they are few"));
    let next = (behind, HeldName::default());
    assert_eq!((found.found.len(), found.next), (0, Some(next.clone())));
    let found = page(nobody, next);
    assert_eq!((found.found.len(), found.next), (0, None));
}
