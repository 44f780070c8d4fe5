//! A client that shares no code with the server: Python, grpcio, and stubs generated from the published contract. It
//! tells a till's story and a day in a department store, loads a quarter of grocery baskets and compares every account, and
//! runs the README's example.
//!
//! What must stay true: what the README shows is what is run, but for the address.
#![cfg(all(feature = "server", feature = "rocksdb"))]

mod blackbox;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use blackbox::{Site, verify_directory, wait_for};

/// Baskets of the quarter.
const BASKETS: &str = "37489 baskets";

/// Making the environment, the first time on a machine, or loading a quarter takes no longer.
const SCRIPT_WITHIN: Duration = Duration::from_secs(600);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end and returns its standard output; what it wrote is shown when it fails.
async fn run(site: &Site, command: &mut Command) -> String {
    let [output, errors] = ["out", "err"].map(|kind| site.root().join(format!("script.{kind}")));
    let file = |path: &Path| File::create(path).expect("a file in the temporary directory can be made");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file(&output))
        .stderr(file(&errors))
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let status = wait_for("the end of a script", SCRIPT_WITHIN, async || {
        child.try_wait().expect("a child can be asked for its status")
    });
    let status = status.await;
    let [output, errors] = [output, errors].map(|path| fs::read_to_string(path).unwrap_or_default());
    assert!(status.success(), "{command:?} ended with {status}\n{output}{errors}");
    output
}

/// A Python interpreter that has grpcio, and the folder with the stubs.
struct Python {
    interpreter: PathBuf,
    stubs: PathBuf,
}

impl Python {
    async fn prepare(site: &Site) -> Self {
        let stubs = site.root().join("stubs");
        let mut script = Command::new(repository().join("deploy/python-client.sh"));
        let interpreter = run(site, script.arg(&stubs)).await;
        Self { interpreter: PathBuf::from(interpreter.trim_end()), stubs }
    }

    fn command(&self, script: &Path) -> Command {
        let mut command = Command::new(&self.interpreter);
        // Nothing is to be written beside the sources.
        command.env("PYTHONPATH", &self.stubs).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
        command
    }
}

#[tokio::test]
async fn a_till_written_in_python_gets_what_the_contract_promises() {
    let site = Site::new();
    let python = Python::prepare(&site).await;
    let server = site.start().await;
    let mut till = python.command(&repository().join("tests/python/till.py"));
    let told = run(&site, till.arg(server.address().to_string())).await;
    assert!(told.trim_end().ends_with("parts of the story are as the contract says"), "{told}");
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
}

#[tokio::test]
async fn a_quarter_of_grocery_baskets_comes_out_as_an_independent_program_says() {
    let site = Site::new().with("clock", "input");
    let program = fs::read_to_string(repository().join("deploy/programs/basic.toml"));
    let site = site.with_program(&program.expect("the programme file can be read"));
    let python = Python::prepare(&site).await;
    let data = run(&site, &mut Command::new(repository().join("deploy/journey-data.sh"))).await;
    let server = site.start().await;
    let mut journey = python.command(&repository().join("tests/python/journey.py"));
    journey.arg(server.address().to_string());
    journey.arg(Path::new(data.trim_end()).join("baskets-2017q1.csv.gz"));
    journey.arg(repository().join("tests/golden/journey/expected-basic-2017q1.csv"));
    let told = run(&site, &mut journey).await;
    assert!(told.contains(BASKETS), "{told}");
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
}

#[tokio::test]
async fn the_example_in_the_readme_runs() {
    let site = Site::new();
    let python = Python::prepare(&site).await;
    let readme = fs::read_to_string(repository().join("README.md")).expect("the README can be read");
    let example = only_block(&readme, "python");
    let server = site.start().await;
    let default_address = "127.0.0.1:7007";
    assert_eq!(example.matches(default_address).count(), 1, "the example names the default address once");
    let script = site.root().join("example.py");
    fs::write(&script, example.replace(default_address, &server.address().to_string())).expect("it can be written");
    let told = run(&site, &mut python.command(&script)).await;
    assert_eq!(told, "5 granted, balance 5\n", "a croissant of 2.80 counts double");
    assert_eq!(server.terminate().await.code, Some(0));
}

#[tokio::test]
async fn a_day_in_a_department_store_goes_as_the_story_says() {
    let page = fs::read_to_string(repository().join("docs/store-day.md")).expect("the story can be read");
    let site = Site::new().with_program(only_block(&page, "toml"));
    let python = Python::prepare(&site).await;
    let server = site.start().await;
    let mut day = python.command(&repository().join("tests/python/store_day.py"));
    let told = run(&site, day.arg(server.address().to_string())).await;
    assert_eq!(told, only_block(&page, "text"));
    assert_eq!(server.terminate().await.code, Some(0));
    verify_directory(site.data());
}

/// The one fenced block of a language in a text.
fn only_block<'a>(text: &'a str, language: &str) -> &'a str {
    let fence = format!("```{language}\n");
    let mut blocks = text.split(&fence).skip(1);
    let block = blocks.next().and_then(|rest| rest.split("```").next());
    assert!(blocks.next().is_none(), "there is one block of {language}");
    block.unwrap_or_else(|| panic!("there is a block of {language}"))
}
