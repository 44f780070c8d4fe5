//! Every decoder that faces the network or a file, over the corpus that is kept for fuzzing and over damage to it. What
//! the fuzzer does with a map of what it reaches, this does without one, and everywhere.
#![cfg(feature = "server")]

#[path = "fuzz/src/targets.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use targets::TARGETS;

fn corpus() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fuzz", "corpus"].iter().collect()
}

/// The files of a target's corpus.
fn kept(name: &str) -> Vec<Vec<u8>> {
    let folder = corpus().join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// One way to damage bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize, usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |index: &prop::sample::Index, bytes: &[u8]| index.index(bytes.len() + 1);
        match self {
            Self::Set(at, byte) => {
                let at = place(at, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Flip(at, bit) => {
                let at = place(at, bytes);
                if let Some(old) = bytes.get_mut(at) {
                    *old ^= 1 << (bit % 8);
                }
            }
            Self::Cut(at) => bytes.truncate(place(at, bytes)),
            Self::Remove(at, count) => {
                let at = place(at, bytes);
                let end = (at + count).min(bytes.len());
                bytes.drain(at..end);
            }
            Self::Insert(at, more) => {
                let at = place(at, bytes);
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Repeat(at, count, times) => {
                let at = place(at, bytes);
                let part = bytes[at..(at + count).min(bytes.len())].repeat(*times);
                bytes.splice(at..at, part);
            }
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), prop_oneof![any::<u8>(), Just(0), Just(0x7f), Just(0x80), Just(0xff)])
            .prop_map(|(at, byte)| Damage::Set(at, byte)),
        (at(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        at().prop_map(Damage::Cut),
        (at(), 1_usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        (at(), prop::collection::vec(any::<u8>(), 1..12)).prop_map(|(at, more)| Damage::Insert(at, more)),
        (at(), 1_usize..40, 1_usize..4).prop_map(|(at, count, times)| Damage::Repeat(at, count, times)),
    ]
}

/// Inputs of one target that are made from its corpus.
const MUTATIONS: u32 = 4_000;

fn run(name: &str) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).expect("it is a target").1;
    let kept = kept(name);
    assert!(!kept.is_empty(), "{name} has a corpus");
    for bytes in &kept {
        target(bytes);
        // Every beginning of it, as a file that was cut off.
        for length in 0..bytes.len().min(600) {
            target(&bytes[..length]);
        }
    }
    let config = Config { cases: MUTATIONS, failure_persistence: None, ..Config::default() };
    let strategy = (prop::sample::select(kept), prop::collection::vec(damage(), 1..6));
    let outcome = TestRunner::new(config).run(&strategy, |(mut bytes, damages)| {
        damages.iter().for_each(|damage| damage.apply(&mut bytes));
        target(&bytes);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{name}: {failure}");
    }
}

macro_rules! decoders {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )+

        /// What is tested here.
        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

decoders!(request, record, frame, entity, ids, program, markers, mark, key, token, manifest, rows);

#[test]
fn every_target_is_tested_and_has_a_corpus_and_every_corpus_a_target() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, TESTED.iter().map(|name| (*name).to_owned()).collect());
    let folders = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(targets, folders.collect());
}
