//! The check of advisories: by a copy of a known date, which is said, and which fails when it is too old and somebody asked.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{repository, text};

fn git(folder: &Path, arguments: &[&str], date: &str) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=a test", "-c", "user.email=test@example"]).args(arguments);
    command.env("GIT_COMMITTER_DATE", date).env("GIT_AUTHOR_DATE", date);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A copy with one advisory, about the versions of a crate below one.
fn copy(folder: &Path, package: &str, patched: &str, date: &str) {
    let crates = folder.join("crates").join(package);
    std::fs::create_dir_all(&crates).unwrap();
    let advisory = format!(
        "```toml\n[advisory]\nid = \"RUSTSEC-2099-0001\"\npackage = \"{package}\"\ndate = \"2026-01-02\"\n\n\
         [versions]\npatched = [\">= {patched}\"]\n```\n\n# A weakness of a test\n\nThere is none.\n"
    );
    std::fs::write(crates.join("RUSTSEC-2099-0001.md"), advisory).unwrap();
    git(folder, &["init", "--quiet"], date);
    git(folder, &["add", "--all"], date);
    git(folder, &["commit", "--quiet", "--message", "one"], date);
}

fn check(folder: Option<&Path>, days_max: Option<&str>) -> Output {
    let mut command = Command::new(repository("deploy/deny.sh"));
    command.arg("advisories").args(folder.map(text)).env_remove("TALLYSTICK_ADVISORIES");
    command.env_remove("ADVISORIES_DAYS_MAX").envs(days_max.map(|days| ("ADVISORIES_DAYS_MAX", days)));
    command.output().unwrap()
}

/// What a script said on both its outputs, the standard one first.
pub fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn a_known_weakness_fails_and_one_that_is_mended_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (weak, mended) = (folder.path().join("weak"), folder.path().join("mended"));
    copy(&weak, "h2", "99.0.0", "2026-02-03T04:05:06Z");
    copy(&mended, "h2", "0.4.0", "2026-02-03T04:05:06Z");
    let found = check(Some(&weak), None);
    assert!(!found.status.success(), "{}", said(&found));
    assert!(said(&found).contains("RUSTSEC-2099-0001"), "{}", said(&found));
    let good = check(Some(&mended), None);
    assert!(good.status.success(), "{}", said(&good));
    assert!(said(&good).contains("Advisories of 2026-02-03, "), "its date is said: {}", said(&good));
}

#[test]
fn a_copy_that_is_too_old_fails_only_where_somebody_asked() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), "no-such-crate-of-ours", "1.0.0", "2020-02-03T04:05:06Z");
    let asked = check(Some(folder.path()), Some("30"));
    assert!(!asked.status.success() && said(&asked).contains("older than 30 days"), "{}", said(&asked));
    assert!(check(Some(folder.path()), None).status.success());
}

#[test]
fn without_a_copy_it_is_said_that_nothing_was_checked() {
    let nothing = check(None, None);
    assert!(nothing.status.success(), "{}", said(&nothing));
    assert!(said(&nothing).starts_with("Left out: advisories were not checked"), "{}", said(&nothing));
    assert!(!check(None, Some("30")).status.success(), "whoever asks for a fresh copy asks for a copy");
    assert!(!check(Some(Path::new("/nowhere")), None).status.success());
}
