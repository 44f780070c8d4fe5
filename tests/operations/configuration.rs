//! The configuration as an operator meets it: the documented file, what is shown, what is refused.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use tallystick::config::{Loaded, SETTINGS, Stated};

use crate::blackbox::is_said_to_lack;
use crate::{read, repository};

const DOCUMENTED: &str = "deploy/tallystick.toml";

/// Runs the program; its exit status and both outputs.
fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    let output = command.arg("serve").args(arguments).envs(variables.iter().copied()).output().unwrap();
    let [said, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.code().unwrap(), said, errors)
}

fn load(text: &str) -> Loaded {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Loaded::load(Some(file.path()), Stated::default()).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

#[test]
fn the_documented_file_is_right_and_names_every_setting_once() {
    let text = read(DOCUMENTED);
    let loaded = load(&text);
    assert_eq!(loaded.config.metrics_listen.as_deref(), Some("127.0.0.1:7008"));
    for spec in SETTINGS.iter().filter(|spec| !spec.is_hidden) {
        let lines = text.lines().filter(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            line.strip_prefix(spec.name).is_some_and(|rest| rest.starts_with(" = "))
        });
        assert_eq!(lines.count(), 1, "{} is explained once", spec.name);
    }
    // What is left out by a `#` would be right too.
    let is_setting = |line: &str| SETTINGS.iter().any(|spec| line.starts_with(&format!("# {} = ", spec.name)));
    let uncommented: Vec<&str> = text.lines().map(|line| if is_setting(line) { &line[2..] } else { line }).collect();
    // Some have a meaning only where credentials are asked for.
    let uncommented = uncommented.join("\n").replacen("authentication = \"off\"", "authentication = \"required\"", 1);
    assert_eq!(load(&uncommented).sources.len(), SETTINGS.len() - 1);
}

#[test]
fn the_configuration_in_force_is_shown_with_the_source_of_each_value() {
    let file = repository(DOCUMENTED);
    let file = file.to_str().unwrap();
    let flags = ["--config", file, "--print-config", "--workers", "3", "--metrics-listen", "off"];
    let variables = [("TALLYSTICK_LOG", "warn"), ("TALLYSTICK_WORKERS", "2"), ("TALLYSTICK_SERVICE_HOST", "10.0.0.1")];
    let (status, shown, errors) = serve(&flags, &variables);
    assert_eq!((status, errors.as_str()), (0, ""));
    let queue_depth = format!("queue_depth = 4096  # {file}:");
    for line in [
        "workers = 3  # --workers",
        "log = \"warn\"  # TALLYSTICK_LOG",
        "# metrics_listen is not set",
        "# shard_count is not set",
        queue_depth.as_str(),
    ] {
        assert!(shown.lines().any(|found| found.starts_with(line)), "{line} is missing in\n{shown}");
    }
    let again = load(&shown).config;
    assert_eq!((again.workers, again.log.as_str(), again.metrics_listen), (3, "warn", None));
    let flags: Vec<&str> = flags.into_iter().chain(["--json"]).collect();
    let (status, shown, _) = serve(&flags, &variables);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((status, &shown["workers"]["source"]), (0, &"--workers".into()));
}

#[test]
fn every_problem_of_every_source_is_told_before_anything_is_made() {
    let root = tempfile::tempdir().unwrap();
    let (file, data) = (root.path().join("wrong.toml"), root.path().join("data"));
    std::fs::write(&file, "listn = \"127.0.0.1:0\"\nworkers = \"two\"\n").unwrap();
    let flags = ["--config", file.to_str().unwrap(), "--data", data.to_str().unwrap(), "--clock", "sun"];
    let (status, _, errors) = serve(&flags, &[("TALLYSTICK_QUEUE_DEPHT", "1"), ("TALLYSTICK_WORKERS", "0")]);
    assert_eq!(status, 78, "{errors}");
    for part in [
        "wrong.toml:1:1: `listn` is not a setting.\n  hint: did you mean `listen`?",
        "wrong.toml:2:11: `workers` must be a whole number.\n  hint: such as: workers = 2",
        "TALLYSTICK_QUEUE_DEPHT: `queue_depht` is not a setting.\n  hint: did you mean `TALLYSTICK_QUEUE_DEPTH`?",
        "TALLYSTICK_WORKERS: `workers` must be a whole number from 1 to 64, not \"0\".",
        "--clock: `clock` must be \"system\" or \"input\", not \"sun\".",
    ] {
        assert!(errors.contains(part), "{part:?} is missing in\n{errors}");
    }
    assert!(!data.exists(), "a server that does not start makes nothing");
}

#[test]
fn settings_that_do_not_fit_together_are_all_told_before_anything_is_made() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let flags = ["--data", data.to_str().unwrap(), "--listen", "0.0.0.0:0", "--tls-certificate", "server.pem"];
    let variables = [("TALLYSTICK_RATE_LIMITS", "till=50/100/8"), ("TALLYSTICK_TOKEN_ISSUER", "i")];
    for further in [None, Some("--print-config")] {
        let flags: Vec<&str> = flags.into_iter().chain(further).collect();
        let (status, shown, errors) = serve(&flags, &variables);
        assert_eq!((status, shown.as_str()), (78, ""), "{errors}");
        for part in [
            "--tls-certificate: TLS needs both tls_certificate and tls_key.",
            "TALLYSTICK_TOKEN_ISSUER: tokens need token_keys, token_issuer and token_audience, all three.",
            "TALLYSTICK_RATE_LIMITS: rate_limits have a meaning only with authentication = \"required\".",
            "--listen: 0.0.0.0:0 can be reached from other machines, and callers would need no credentials.\n  hint: set ",
        ] {
            assert!(errors.contains(part), "{part:?} is missing in\n{errors}");
        }
    }
    assert!(!data.exists(), "a server that does not start makes nothing");
}

#[test]
fn variables_of_the_scripts_that_ship_with_it_do_not_keep_a_server_from_starting() {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(repository("deploy")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sh") {
            let text = std::fs::read_to_string(&path).unwrap();
            let is_of_name = |letter: &char| letter.is_ascii_uppercase() || *letter == '_';
            let found = text.split("TALLYSTICK_").skip(1);
            names.extend(found.map(|rest| rest.chars().take_while(is_of_name).collect::<String>()));
        }
    }
    assert!(names.contains("JOURNEY_DIR"), "{names:?}");
    let names: Vec<String> = names.into_iter().map(|name| format!("TALLYSTICK_{name}")).collect();
    let variables: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "/somewhere")).collect();
    let (status, _, errors) = serve(&["--print-config"], &variables);
    assert_eq!((status, errors.as_str()), (0, ""));
}

#[test]
fn the_unit_for_systemd_runs_the_documented_file() {
    let unit = read("deploy/systemd/tallystick.service");
    assert!(unit.lines().any(|line| line == "Type=notify"));
    assert!(unit.contains("serve --config /etc/tallystick/tallystick.toml"));
    let config = load(&read(DOCUMENTED)).config;
    let state = Path::new("/var/lib/tallystick");
    assert!(unit.contains("\nStateDirectory=tallystick\n"), "it may write {}", state.display());
    assert!(config.data.starts_with(state) && config.backup_root.is_some_and(|root| root.starts_with(state)));
    for file in [DOCUMENTED, "deploy/coalition.toml", "docs/operations.md"] {
        let text = read(file);
        let mut lines = text.lines().map(|line| line.trim_start_matches("# "));
        let path = lines.find_map(|line| line.strip_prefix("first_key_file = \"")?.split('"').next());
        assert!(path.is_some_and(|path| Path::new(path).starts_with(state)), "{file}: {path:?}");
    }
}

/// systemd's own tool judges the unit, with this build's program in place of the installed one.
#[test]
fn systemd_agrees() {
    if is_said_to_lack("TALLYSTICK_WITHOUT_SYSTEMD") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let unit = root.path().join("tallystick.service");
    let text = read("deploy/systemd/tallystick.service");
    assert!(text.contains("ExecStart=/usr/local/bin/tallystick "));
    std::fs::write(&unit, text.replace("/usr/local/bin/tallystick", env!("CARGO_BIN_EXE_tallystick"))).unwrap();
    let unit = unit.to_str().unwrap();
    // An exposure of 10 is that of a unit without any protection.
    for arguments in [vec!["verify", unit], vec!["security", "--offline=true", "--threshold=15", unit]] {
        let output = Command::new("systemd-analyze").args(&arguments).output().expect("there is systemd-analyze");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && !said.contains("Unknown"), "{arguments:?}: {said}");
    }
}
