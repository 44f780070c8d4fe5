//! The source text itself: which room may know which, what may be said where, and that every file says what it is for.
//!
//! The rules are tables with their reasons. A rule that a change has outgrown is changed here, with its reason, in the
//! same commit; a rule is never worked around.
//!
//! What is judged is the product's code: comments and test modules may say more.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file of the product, test modules included.
const FILE_LINES_MAX: usize = 700;

struct Source {
    /// From the folder `src`, with slashes.
    path: String,
    text: String,
    /// The text without comments and test modules.
    code: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources() -> Vec<Source> {
    let sources: Vec<Source> = files("src", "rs")
        .into_iter()
        .map(|path| {
            let text = read(&path);
            let relative = path.strip_prefix(root().join("src")).expect("it lies there");
            let path = relative.to_str().expect("names are ASCII").replace('\\', "/");
            let code = if is_test_file(&path) { String::new() } else { product_code(&text) };
            Source { path, text, code }
        })
        .collect();
    assert!(sources.len() > 80, "the sources are where they are looked for");
    sources
}

/// Files that are compiled for tests only.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.contains("/tests/")
        || ["store/conformance.rs", "ids/test_store.rs"].contains(&path)
}

/// The text without comments, and without what follows the line that begins a test module.
fn product_code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next_is_module = lines.peek().is_some_and(|next| next.trim_start().starts_with("mod tests {"));
        if line.trim() == "#[cfg(test)]" && next_is_module {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line.split_once("// ").map_or(line, |(code, _)| code));
            code.push('\n');
        }
    }
    code
}

/// The rooms that a text names as `crate::room`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let named = code.split("crate::").skip(1).map(|rest| {
        rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect::<String>()
    });
    named.filter(|room| !room.is_empty()).collect()
}

fn room_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// Room → the rooms it may name besides itself, and why no more.
const MAY_NAME: [(&str, &[&str], &str); 24] = [
    ("limits", &[], "bounds depend on nothing"),
    ("codec", &[], "numbers and texts as bytes, whatever they mean"),
    ("ledger", &["codec", "limits"], "a reader can learn the whole product there; replay and proofs need nothing else"),
    (
        "access",
        &["clock", "ledger", "limits", "metrics"],
        "who may do what, and how much of it: it knows neither what is done nor how it is called",
    ),
    ("clock", &["ledger"], "an instant is a type of the ledger"),
    ("program", &["ledger", "limits"], "files are compiled into the ledger's tables, which know nothing of files"),
    ("store", &["limits"], "bytes in, bytes out: the store knows neither frames nor accounts"),
    ("ids", &["ledger", "limits", "store"], "an index of hashes and positions; of the ledger it knows the types"),
    (
        "journal",
        &["access", "codec", "ledger", "limits", "store"],
        "it records decisions, and knows neither shards nor the wire",
    ),
    (
        "metrics",
        &["ledger"],
        "plain numbers that any thread may add to; how they are shown is the telemetry's business",
    ),
    ("cells", &["ledger"], "counters in memory; what is durable is the journal's business"),
    (
        "snapshot",
        &["access", "codec", "journal", "ledger", "limits", "store"],
        "entities as bytes; who copies them when is the shard's",
    ),
    (
        "replay",
        &["access", "cells", "codec", "journal", "ledger", "program"],
        "one meaning of a record, for all who read journals",
    ),
    (
        "recovery",
        &["codec", "ids", "journal", "ledger", "limits", "replay", "shard", "sim", "snapshot", "store"],
        "of the shard it names what a command claims; of the simulator only the switch of broken variants",
    ),
    (
        "shard",
        &[
            "access", "cells", "clock", "ids", "journal", "ledger", "limits", "metrics", "program", "recovery",
            "replay", "sim", "snapshot", "store",
        ],
        "the assembly of the core; of the simulator it names only the switch of broken variants",
    ),
    (
        "audit",
        &["codec", "ids", "journal", "ledger", "limits", "recovery", "replay", "shard", "store"],
        "whoever audits needs neither server nor clock",
    ),
    (
        "backup",
        &["journal", "ledger", "recovery", "store"],
        "a copy of a data directory with its manifest, for a server and for the command line alike",
    ),
    (
        "sim",
        &[
            "access", "cells", "codec", "ids", "journal", "ledger", "program", "recovery", "replay", "shard",
            "snapshot", "store",
        ],
        "the simulator drives the core, and brings its own clock and edge",
    ),
    (
        "service",
        &[
            "access", "audit", "backup", "clock", "codec", "ids", "journal", "ledger", "limits", "metrics", "program",
            "recovery", "replay", "shard", "snapshot", "store",
        ],
        "the edge: neither configuration nor command line; of the store it names only why a copy failed",
    ),
    (
        "config",
        &["access", "ids", "limits", "program", "shard", "store"],
        "what can be configured, and nothing that is configured by it; of programmes only how names are suggested",
    ),
    ("telemetry", &["clock", "config", "ledger", "metrics", "shard"], "it looks at the ledger, and never at its calls"),
    (
        "server",
        &[
            "access",
            "clock",
            "config",
            "journal",
            "ledger",
            "limits",
            "metrics",
            "program",
            "recovery",
            "service",
            "shard",
            "store",
            "telemetry",
        ],
        "the assembly of the process",
    ),
    (
        "bench",
        &[
            "access", "audit", "cells", "clock", "config", "ids", "journal", "ledger", "limits", "program", "server",
            "service", "shard", "store",
        ],
        "it drives the assembled server and the core, and knows no command line",
    ),
    (
        "cli",
        &[
            "access",
            "audit",
            "backup",
            "bench",
            "clock",
            "config",
            "ids",
            "journal",
            "ledger",
            "limits",
            "program",
            "recovery",
            "replay",
            "server",
            "service",
            "shard",
            "sim",
            "snapshot",
            "store",
            "telemetry",
        ],
        "the outermost room",
    ),
];

#[test]
fn no_room_names_one_that_it_must_not_know() {
    let mut wrong = Vec::new();
    for source in sources() {
        let room = room_of(&source.path);
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let Some((_, allowed, reason)) = MAY_NAME.iter().find(|(known, ..)| *known == room) else {
            wrong.push(format!("{}: the room {room} has no rule", source.path));
            continue;
        };
        for named in rooms_named(&source.code) {
            if named != room && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{} names {named}: {room} may not, for {reason}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_rules_of_rooms_name_rooms_that_exist() {
    let rooms: BTreeSet<String> = sources().iter().map(|source| room_of(&source.path).to_owned()).collect();
    for (room, allowed, _) in MAY_NAME {
        let gone: Vec<_> = std::iter::once(&room).chain(allowed).filter(|room| !rooms.contains(**room)).collect();
        assert!(gone.is_empty(), "there is no {gone:?}: take that out of the table");
        assert!(!allowed.contains(&room), "{room} may name itself anyway");
    }
}

/// Room → rooms below it on the map that it names all the same, and why; `docs/architecture.md` says so too.
const NAMES_BELOW: [(&str, &[&str], &str); 2] = [
    (
        "recovery",
        &["shard", "sim"],
        "what a command claims is the shard's to say; the switch breaks recovery on purpose",
    ),
    ("shard", &["sim"], "the switch breaks the shard on purpose"),
];

/// The map has every room in an order in which each knows only those above it.
#[test]
fn the_map_shows_every_room_below_those_that_it_knows() {
    let map = read(&root().join("docs/architecture.md"));
    let (_, table) = map.split_once("\n## Rooms\n").expect("the map has its section");
    let (table, _) = table.split_once("\n## ").expect("another section follows");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let rooms: Vec<&str> = rows.map(|(room, _)| room).collect();
    let sources = sources();
    let there = sources.iter().map(|source| room_of(&source.path)).filter(|room| !["lib", "main"].contains(room));
    let (shown, there): (BTreeSet<&str>, BTreeSet<&str>) = (rooms.iter().copied().collect(), there.collect());
    assert_eq!(shown, there, "the rooms of docs/architecture.md, and those of src");
    assert_eq!(rooms.len(), shown.len(), "each is shown once");
    let place = |room: &str| rooms.iter().position(|known| *known == room);
    for (room, allowed, _) in MAY_NAME {
        let excused = NAMES_BELOW.iter().find(|(known, ..)| *known == room).map_or(&[][..], |(_, below, _)| *below);
        let below: Vec<_> = allowed.iter().filter(|named| place(named) > place(room)).collect();
        assert_eq!(below, excused.iter().collect::<Vec<_>>(), "{room} knows rooms below it on the map");
    }
}

/// What may be said only in some places: a text, the beginnings of the paths where it may stand, and why.
const ONLY_IN: [(&str, &[&str], &str); 18] = [
    ("Instant::now", &["clock.rs"], "time is read in one place, so that nothing else depends on when it runs"),
    ("SystemTime::now", &["clock.rs"], "time is read in one place, so that nothing else depends on when it runs"),
    ("rocksdb::", &["store/rocks.rs"], "one file knows the engine and sets every option that it relies on"),
    ("use rocksdb", &["store/rocks.rs"], "one file knows the engine and sets every option that it relies on"),
    ("wire::", &["service/", "cli/", "bench/", "server"], "wire types are translated once, at the edge"),
    ("tonic::", &["service/", "cli/", "bench/", "server"], "the core does not know how it is called"),
    ("prost", &["service/", "cli/", "bench/", "server"], "the core does not know how it is called"),
    (
        "tokio::",
        &["service/", "cli/", "bench/", "telemetry/", "server"],
        "the core has threads of its own and waits for no runtime",
    ),
    ("clap", &["cli/"], "arguments are parsed in one room"),
    (
        "StoreJournal",
        &["journal/", "recovery/", "shard/", "sim/", "audit/", "server.rs", "bench/", "cli/"],
        "the edge reads through the trait `Journal`, whatever keeps the frames",
    ),
    (
        "thread::",
        &[
            "shard/engine",
            "shard/publishing.rs",
            "shard/freezing.rs",
            "recovery/parallel.rs",
            "cli/",
            "bench/",
            "config/",
            "telemetry/",
            "metrics.rs",
            "server",
        ],
        "workers, committer and the rest are state machines; one place gives them threads, and one those of recovery",
    ),
    (
        "fs::",
        &[
            "store/",
            "cli/",
            "bench/",
            "config/",
            "telemetry/",
            "backup.rs",
            "server",
            "access/tls.rs",
            "access/tokens.rs",
        ],
        "files are the business of the store and of the outermost rooms",
    ),
    ("std::env", &["cli/", "bench/"], "what the environment says reaches the core as configuration"),
    (
        "getrandom",
        &["server.rs", "cli/", "service/access.rs"],
        "keys and ids are drawn when a directory is made, and secrets when a key is issued, nowhere else",
    ),
    ("println!", &["cli/", "main.rs"], "the core has no output"),
    (".latch(", &["store/checked.rs"], "one wrapper decides that a store has stopped for good"),
    (
        "MemoryStore",
        &["store/", "sim/", "bench/"],
        "what forgets is for the simulator and for measuring the core; a server never keeps points in memory alone",
    ),
    ("#![allow", &[], "a lint that does not fit is lifted where it does not fit, with a reason"),
];

#[test]
fn what_belongs_in_one_place_is_said_nowhere_else() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (text, places, reason) in ONLY_IN {
            let is_allowed = places.iter().any(|place| source.path.starts_with(place));
            if !is_allowed && source.code.contains(text) {
                wrong.push(format!("{} says `{text}`: {reason}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_rules_of_places_name_places_that_exist() {
    let sources = sources();
    for (text, places, _) in ONLY_IN {
        for place in places {
            assert!(sources.iter().any(|source| source.path.starts_with(place)), "{text}: there is no {place}");
        }
    }
}

/// What nobody writes, and why. Checked in tests too.
fn never_written() -> [(String, &'static str); 7] {
    // Put together, so that this file does not contain them.
    let join = |parts: [&str; 2]| parts.concat();
    [
        (join(["todo", "!("]), "what is not done is refused, or absent"),
        (join(["unimpl", "emented!("]), "what is not done is refused, or absent"),
        (join(["#[ign", "ore"]), "a test that does not run tests nothing"),
        (join(["FIX", "ME"]), "what is known to be wrong is put right"),
        (join(["dbg", "!("]), "output is for people who run the program"),
        (join(["clippy::", "all"]), "lints are lifted one by one"),
        (join(["the quick br", "own fox"]), "placeholders have no meaning"),
    ]
}

#[test]
fn nothing_is_left_for_later() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in files(folder, "rs") {
            let text = read(&path);
            // Generated code is included with its lints lifted as a whole.
            let is_generated = path.ends_with("service/wire.rs");
            for (what, reason) in never_written() {
                if text.contains(&what) && !(is_generated && what.ends_with("::all")) {
                    wrong.push(format!("{} says {what}: {reason}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for path in files(folder, "rs") {
            let text = read(&path);
            let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
            let is_sentence = header.first().is_some_and(|line| line.len() > 20);
            if !is_sentence {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "these begin without `//!`:\n{}\n", wrong.join("\n"));
}

#[test]
fn no_file_of_the_product_is_too_long_to_read() {
    let long: Vec<String> = sources()
        .iter()
        .map(|source| (source.path.clone(), source.text.lines().count()))
        .filter(|(_, count)| *count > FILE_LINES_MAX)
        .map(|(path, count)| format!("{path} has {count} lines; divide it"))
        .collect();
    assert!(long.is_empty(), "\n{}\n", long.join("\n"));
}

#[test]
fn the_core_computes_with_integers_only() {
    // Where people are shown figures a fraction may be shown; nothing that decides or records knows one.
    let shows_figures = ["cli/", "bench/", "telemetry/"];
    let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    for source in sources().iter().filter(|source| !shows_figures.iter().any(|place| source.path.starts_with(place))) {
        for name in ["f32", "f64"] {
            for (at, _) in source.code.match_indices(name) {
                let before = source.code[..at].chars().next_back();
                let after = source.code[at + name.len()..].chars().next();
                assert!(is_letter(before) || is_letter(after), "{} says {name} (invariant 10)", source.path);
            }
        }
    }
}

/// Names in programme files that are words of the product too.
const ALSO_WORDS: [&str; 1] = ["points"];

#[test]
fn the_product_knows_no_programme_by_name() {
    let names = program_names();
    assert!(names.len() > 10, "the programme files are where they are looked for: {names:?}");
    // The simulator makes up programmes of its own; the demonstration plays the sample programme, which it names.
    let knows_one = ["sim/", "cli/demo/"];
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !knows_one.iter().any(|place| source.path.starts_with(place))) {
        // As a whole string, also inside of another one. Paths of included files are no names.
        let code: String = source.code.lines().filter(|line| !line.contains("include_str!")).collect();
        for name in &names {
            if code.contains(&format!("\"{name}\"")) || code.contains(&format!("\"{name}\\\"")) {
                wrong.push(format!("{} names {name:?}, which belongs to a programme file", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Names of programmes, rules, caps, metrics and budgets, and the values that rules match or exclude.
fn program_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files("deploy/programs", "toml") {
        let table: toml::Table = read(&path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (section, value) in &table {
            if section == "expect" {
                continue;
            }
            let entries = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            for entry in entries.iter().filter_map(toml::Value::as_table) {
                names.extend(entry.get("name").and_then(toml::Value::as_str).map(str::to_owned));
                let matched = ["match", "exclude"].iter().filter_map(|key| entry.get(*key)?.as_table());
                for values in matched.flat_map(toml::Table::values).filter_map(toml::Value::as_array) {
                    names.extend(values.iter().filter_map(toml::Value::as_str).map(str::to_owned));
                }
            }
        }
    }
    names.retain(|name| !ALSO_WORDS.contains(&name.as_str()));
    names
}

#[test]
fn comments_and_test_modules_are_told_apart_from_code() {
    let text = "//! A header that names crate::shard.\nuse crate::ledger; // and crate::cells here\n\
                /// See crate::ids.\nfn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::store;\n}\n";
    let code = product_code(text);
    assert_eq!(code, "use crate::ledger; \nfn f() {}\n");
    assert_eq!(rooms_named(&code), BTreeSet::from(["ledger".to_owned()]));
    assert!(is_test_file("ids/tests.rs") && is_test_file("program/tests/broken.rs") && !is_test_file("ids/run.rs"));
    assert_eq!((room_of("ids/run.rs"), room_of("clock.rs")), ("ids", "clock"));
}
