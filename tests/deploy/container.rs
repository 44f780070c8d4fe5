//! The container file: what its statements promise, and that the program keeps it: as a user that owns nothing but its
//! data, on a root file system that cannot be written, without a capability.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::{program, repository, run, text, wait_for};

/// A statement with its words.
struct Statement {
    name: String,
    rest: String,
}

fn statements() -> Vec<Statement> {
    let source = std::fs::read_to_string(repository("deploy/Containerfile")).unwrap();
    let lines: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let split = |line: &str| {
        let (name, rest) = line.trim().split_once(' ').unwrap_or((line, ""));
        Statement { name: name.to_owned(), rest: rest.split_whitespace().collect::<Vec<_>>().join(" ") }
    };
    joined.lines().filter(|line| !line.trim().is_empty()).map(split).collect()
}

#[test]
fn what_is_shipped_is_a_stage_of_its_own_that_runs_as_nobody() {
    let all = statements();
    let stages: Vec<usize> = (0..all.len()).filter(|index| all[*index].name == "FROM").collect();
    assert_eq!(stages.len(), 2, "one builds, one is shipped");
    for stage in &stages {
        let image = all[*stage].rest.split(' ').next().unwrap();
        let (name, version) = image.rsplit_once(':').unwrap_or_else(|| panic!("{image} names no version"));
        assert!(name.contains('/') && version != "latest", "{image} is whatever it is today");
    }
    let shipped = &all[stages[1]..];
    let of = |name: &str| -> Vec<&str> {
        shipped.iter().filter(|statement| statement.name == name).map(|statement| statement.rest.as_str()).collect()
    };
    assert!(all.iter().all(|statement| statement.name != "ADD"), "nothing is fetched or unpacked by the way");
    assert!(of("RUN").is_empty(), "nothing is installed where it is shipped");
    assert_eq!(of("COPY"), ["--from=build /out/ /"], "nothing of the source is shipped");
    let [user] = of("USER")[..] else { panic!("it says once as whom it runs") };
    let numbers: Vec<u32> =
        user.split(':').map(|part| part.parse().expect("by number, so that it can be told")).collect();
    assert!(numbers.len() == 2 && numbers.iter().all(|number| *number >= 1_000), "{user}");
    for name in ["ENTRYPOINT", "CMD"] {
        let [statement] = of(name)[..] else { panic!("there is one {name}") };
        assert!(statement.starts_with('['), "{name} is run by no shell");
    }
    let [health] = of("HEALTHCHECK")[..] else { panic!("it says how it is") };
    assert!(health.contains(r#"CMD ["/usr/local/bin/tallystick", "status", "--ready"]"#), "{health}");
    assert_eq!(of("STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(of("VOLUME"), [r#"["/var/lib/tallystick"]"#]);
}

#[test]
fn everything_that_is_copied_is_there_and_sent_to_whoever_builds() {
    let ignored = std::fs::read_to_string(repository(".dockerignore")).unwrap();
    for statement in statements().iter().filter(|statement| statement.name == "COPY") {
        if statement.rest.starts_with("--from") {
            continue;
        }
        let words: Vec<&str> = statement.rest.split(' ').collect();
        for source in &words[..words.len() - 1] {
            assert!(repository(source).exists(), "{source} is not there");
            assert!(ignored.lines().any(|line| line.strip_prefix('!') == Some(source)), "{source} is not sent");
        }
    }
    // What the sources take in at compile time lies in what is copied.
    let copied: Vec<String> =
        statements().iter().filter(|one| one.name == "COPY").map(|one| one.rest.clone()).collect();
    let mut folders = vec![repository("src")];
    let mut included = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap_or_default();
            for taken in ["include_str!(\"", "include_bytes!(\""] {
                for name in code.split(taken).skip(1).filter_map(|rest| rest.split('"').next()) {
                    let outside = name.trim_start_matches("../");
                    let is_copied = copied.iter().any(|rest| rest.split(' ').any(|word| outside.starts_with(word)));
                    let lies_beside = path.parent().unwrap().join(name).starts_with(repository("src"));
                    assert!(is_copied || lies_beside, "{} takes in {name}, which is not copied", path.display());
                    included += 1;
                }
            }
        }
    }
    assert!(included > 0, "there is something to look for");
}

/// The variables that the container file sets, but for where they point to.
fn variables(data: &Path, certificates: &Path) -> Vec<(String, String)> {
    let all = statements();
    let environment = all.iter().find(|statement| statement.name == "ENV").expect("it sets variables");
    let pairs = environment.rest.split(' ').map(|pair| pair.split_once('=').expect("each is a pair"));
    let moved = |value: &str| {
        let value = value.replace("/var/lib/tallystick", text(data));
        value.replace("/etc/tallystick", text(certificates)).replace("0.0.0.0:7007", "127.0.0.1:0")
    };
    pairs.map(|(name, value)| (name.to_owned(), moved(value))).collect()
}

/// As the container engine starts it: what may be written is the data and nothing else, by a user without capabilities.
/// Root gives all that up; whoever is not root has nothing to give up.
fn confined(data: &Path) -> Command {
    let own = env!("CARGO_BIN_EXE_tallystick");
    if !rustix::process::getuid().is_root() {
        let mut command = Command::new(own);
        command.current_dir("/");
        return command;
    }
    let script = r#"
        set -e
        mount --make-rprivate /
        mount --bind "$DATA" "$DATA"
        mount --options remount,bind,ro /
        mount --options remount,bind,ro,size=1m --types tmpfs none /tmp 2>/dev/null || true
        cd /
        exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@"
    "#;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", own]).env("DATA", data);
    command
}

#[test]
fn the_program_runs_as_nobody_on_a_file_system_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (data, certificates) = (folder.path().join("data"), folder.path().join("etc"));
    let made = Command::new("sh").arg(repository("deploy/certificates.sh")).arg(&certificates).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    std::fs::create_dir(&data).unwrap();
    // Nobody may look into folders of tests but their owner, unless told so; the data is the user's own.
    if rustix::process::getuid().is_root() {
        let given = Command::new("sh")
            .args(["-c", "chmod 0711 \"$0\" && chmod -R a+rX \"$1\" && chown 65532:65532 \"$2\" && chmod 0700 \"$2\""])
            .args([folder.path(), &certificates, &data])
            .status();
        assert!(given.unwrap().success());
    }
    let variables = variables(&data, &certificates);
    let (ready, log) = (data.join("ready"), folder.path().join("log"));
    let mut command = confined(&data);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--ready-file").arg(&ready).envs(variables.clone()).stdin(Stdio::null());
    let log_file = std::fs::File::create(&log).unwrap();
    let mut child = command.stdout(log_file.try_clone().unwrap()).stderr(log_file).spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    let address = wait_for("a server that is ready", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", said());
        std::fs::read_to_string(&ready).ok().and_then(|text| Some(text.strip_suffix('\n')?.to_owned()))
    });
    // As nobody, with nothing.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    if rustix::process::getuid().is_root() {
        assert_eq!(field("Uid:").split_whitespace().next(), Some("65532"));
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        let mounts = std::fs::read_to_string(format!("/proc/{}/mounts", child.id())).unwrap();
        let root = mounts.lines().rfind(|line| line.split(' ').nth(1) == Some("/")).unwrap();
        assert!(root.split(' ').nth(3).unwrap().split(',').any(|option| option == "ro"), "{root}");
    }
    // The health check says so, with the variables of the container.
    let mut health = program();
    health.args(["status", "--ready"]).envs(variables).env("TALLYSTICK_SERVER", format!("https://{address}"));
    let health = health.output().unwrap();
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
    let first = std::fs::read_to_string(data.join("first-key")).unwrap();
    assert!(first.starts_with("tsk_"));

    let stopped = Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let status = wait_for("the end of the server", || child.try_wait().unwrap());
    assert!(status.success(), "{}", said());
    run(["audit", "verify", "--data", text(&data.join("data"))]).expect(0);
}

#[test]
fn without_certificates_it_does_not_start_and_says_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.arg("serve").envs(variables(folder.path(), &folder.path().join("none")));
    let output = command.env("TALLYSTICK_LISTEN", "0.0.0.0:0").output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("server.pem"), "{said}");
}
