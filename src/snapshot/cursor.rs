//! The walk of one worker over its dirty entities, a slice at a time.
//!
//! What must stay true: every entity that changed since the last finished snapshot began is handed out once, as it is
//! when the walk passes it; a step looks at a bounded number of entities; of each shard is told how many accounts the walk has
//! passed.

use super::entity::{encode_account, encode_burn, encode_partner, encode_shard};
use crate::ledger::state::ShardState;
use crate::ledger::types::{AccountNumber, Seq, ShardId};

/// Clean entities that one step passes at most, for each that it may hand out.
const LOOKED_AT_FACTOR: usize = 16;

/// Keys and values.
pub type Entities = Vec<(Vec<u8>, Vec<u8>)>;

/// Where the walk is.
#[derive(Debug)]
pub struct SnapshotCursor {
    /// Per shard: its last durable record when the walk began.
    durable_at: Vec<Seq>,
    /// Per shard: what the last finished snapshot has.
    since: Vec<Seq>,
    place: usize,
    account: usize,
    slice_entities: usize,
    account_counts: Vec<(ShardId, u32)>,
    refused: Option<Entities>,
}

impl SnapshotCursor {
    /// A walk over the shards' changes after `since`, given the last durable record of each, about `slice_entities` at
    /// a time.
    pub fn begin(durable_at: impl Iterator<Item = Seq>, since: &[Seq], slice_entities: usize) -> Self {
        let durable_at = durable_at.collect();
        let (since, account_counts) = (since.to_vec(), Vec::new());
        Self { durable_at, since, place: 0, account: 0, slice_entities, account_counts, refused: None }
    }

    /// Per shard: its last durable record when the walk began. The next snapshot needs only what changed after. What
    /// changed before and was not durable yet has been handed out without its position, so it comes again.
    #[must_use]
    pub fn durable_at(&self) -> &[Seq] {
        &self.durable_at
    }

    /// How many accounts each shard had when the walk left it: all of them were handed out, in this walk or an earlier one.
    #[must_use]
    pub fn account_counts(&self) -> &[(ShardId, u32)] {
        &self.account_counts
    }

    /// A slice for which there was no room; the next step hands it out again.
    pub fn put_back(&mut self, entities: Entities) {
        self.refused = Some(entities);
    }

    /// The next slice, which may be empty; `None` when the walk is over.
    pub fn next_slice<T>(&mut self, shards: &[T], state: impl Fn(&T) -> &ShardState) -> Option<Entities> {
        if let Some(refused) = self.refused.take() {
            return Some(refused);
        }
        let mut slice = Vec::new();
        let mut looked_at = 0;
        while looked_at < self.slice_entities * LOOKED_AT_FACTOR && slice.len() < self.slice_entities {
            let Some(shard) = shards.get(self.place).map(&state) else {
                return if slice.is_empty() { None } else { Some(slice) };
            };
            let since = self.since[self.place];
            looked_at += 1;
            let number = u32::try_from(self.account).expect("an account number fits u32");
            if let Some(account) = shard.all_packed().get(self.account) {
                if account.seq > since {
                    slice.push(encode_account(shard.id, AccountNumber(number), account));
                }
                self.account += 1;
                continue;
            }
            if shard.seq > since {
                // In one slice, so that what was burned is there if the issuers' sub-accounts are.
                for ((partner, wallet), account) in shard.partners.issuers() {
                    slice.push(encode_partner(shard.id, *partner, *wallet, account));
                }
                slice.extend(shard.partners.burns().map(|(burn, account)| encode_burn(shard.id, burn, account)));
                slice.push(encode_shard(shard));
            }
            self.account_counts.push((shard.id, number));
            self.place += 1;
            self.account = 0;
        }
        Some(slice)
    }
}
