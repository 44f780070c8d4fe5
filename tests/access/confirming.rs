//! Acts that wait for a second person, on the command line: what people and scripts are told, and how commands end.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use serde_json::Value;
use tallystick::access::grant::{Grant, Role};
use tallystick::store::memory::MemoryStore;
use tempfile::TempDir;

use crate::approvals::{careful, open_account};
use crate::process::{good, path, run, text};
use crate::shop::plain_program;
use crate::support::{House, grant};

/// A server where everything waits, and files with the keys of its callers.
struct Desk {
    house: House,
    url: String,
    folder: TempDir,
}

impl Desk {
    async fn open() -> Self {
        let house = House::open_on(Arc::new(MemoryStore::new()), careful()).await;
        let url = format!("http://{}", house.running.address());
        Self { house, url, folder: tempfile::tempdir().unwrap() }
    }

    /// The file with the key of somebody new.
    async fn somebody(&self, name: &str, grant: Grant) -> PathBuf {
        let file = self.folder.path().join(name);
        std::fs::write(&file, self.house.key(grant).await).unwrap();
        file
    }

    fn run(&self, key: &Path, arguments: &[&str]) -> Output {
        run(&[arguments, &["--server", &self.url, "--api-key-file", path(key)]].concat())
    }

    /// What a command answers that must go well.
    #[track_caller]
    fn object(&self, key: &Path, arguments: &[&str]) -> Value {
        serde_json::from_str(&good(&self.run(key, &[arguments, &["--json"]].concat()))).unwrap()
    }

    /// The number of the proposal that a command becomes.
    #[track_caller]
    fn propose(&self, key: &Path, arguments: &[&str]) -> i64 {
        self.object(key, arguments)["pending"]["proposal_id"].as_i64().expect("it waits for a second person")
    }

    /// The numbers of what waits.
    fn waiting(&self, key: &Path) -> Vec<i64> {
        let listed = self.object(key, &["proposals", "list"]);
        listed["proposals"].as_array().unwrap().iter().map(|one| one["proposal_id"].as_i64().unwrap()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_whose_act_is_refused_ends_as_a_refusal_does() {
    let desk = Desk::open().await;
    open_account(&desk.house).await;
    let operator = || grant(Role::Operator, "north", &[]);
    let (anna, ben) = (desk.somebody("anna", operator()).await, desk.somebody("ben", operator()).await);
    let adjust = |account: &str, points: &str, id: &str| {
        desk.propose(&anna, &["operator", "adjust", account, points, "--reason", "r", "--transaction-id", id])
    };
    // An account that is not there leaves no record, and its proposal waits on; what an account does not have is on record.
    for (account, points, waits) in [("nobody", "5", true), ("m1", "-1000", false)] {
        for is_json in [false, true] {
            let number = adjust(account, points, &format!("{account}-{is_json}"));
            let shown = number.to_string();
            let mut arguments = vec!["proposals", "confirm", &shown];
            arguments.extend(is_json.then_some("--json"));
            let ran = desk.run(&ben, &arguments);
            let (said, errors) = (text(&ran.stdout), text(&ran.stderr));
            assert_eq!(ran.status.code(), Some(65), "{said}{errors}");
            if is_json {
                let answer: Value = serde_json::from_str(&said).expect("it is one object");
                assert_eq!(answer["proposal_id"], number);
                let outcome = &answer["outcome"];
                assert_eq!(
                    (outcome["waits"].as_bool(), outcome["position"].is_null()),
                    (Some(waits), waits),
                    "{answer}"
                );
                assert!(outcome["refusal"].is_string(), "{answer}");
            } else {
                let left = if waits { ", which still waits," } else { "" };
                let refused = format!("the act of proposal {number}{left} was refused: ");
                assert!(errors.contains(&refused) && errors.contains("tallystick errors show "), "{errors}");
                assert_eq!(said, "");
            }
            assert_eq!(desk.waiting(&ben).contains(&number), waits, "{account}");
            if waits {
                good(&desk.run(&ben, &["proposals", "reject", &shown]));
            }
        }
    }
    let number = adjust("m1", "7", "good").to_string();
    assert_eq!(good(&desk.run(&ben, &["proposals", "confirm", &number])), "confirmed: 7 points\n");
}

/// The same text may be published again later, so that the id of a publication for as soon as can be follows from nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_waits_tells_the_id_by_which_it_is_asked_for_again() {
    let desk = Desk::open().await;
    let owner = || Grant::of_role(Role::ProgramOwner);
    let (anna, ben) = (desk.somebody("anna", owner()).await, desk.somebody("ben", owner()).await);
    let file = desk.folder.path().join("next.toml");
    std::fs::write(&file, plain_program(&[("units = 1\n", "units = 2\n")])).unwrap();
    let publish = ["program", "publish", path(&file)];
    let said = good(&desk.run(&anna, &publish));
    let (_, rest) = said.split_once(" --transaction-id ").unwrap_or_else(|| panic!("no id is told: {said}"));
    let id = rest.split_whitespace().next().unwrap();
    let again = [&publish[..], &["--transaction-id", id]].concat();
    assert_eq!((desk.propose(&anna, &again), desk.waiting(&ben)), (1, vec![1]), "it is the same proposal");
    let told = desk.object(&anna, &publish);
    let other = told["pending"]["transaction_id"].as_str().expect("scripts are told too");
    assert!(other != id && told["pending"]["proposal_id"] == 2, "{told}");
    // Whoever states an id need not be told.
    assert!(!good(&desk.run(&anna, &again)).contains("--transaction-id"));
    good(&desk.run(&ben, &["proposals", "reject", "2"]));
    good(&desk.run(&ben, &["proposals", "confirm", "1"]));
    let published = desk.object(&anna, &again);
    assert_eq!((&published["version"], &published["replayed"]), (&2.into(), &true.into()));
}
