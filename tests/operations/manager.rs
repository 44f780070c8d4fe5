//! What the service manager hears, played by a socket of the test.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tallystick::telemetry::manager::Look;

use crate::blackbox::{END_WITHIN, wait_for};
use crate::support::watched::GatedStore;
use crate::support::{Shop, accrual, config};

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The next messages until one satisfies; all of them.
fn hear(socket: &UnixDatagram, until: impl Fn(&str) -> bool) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("nothing more than {heard:?}: {error}"));
        let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
        heard.push(message);
        if heard.last().is_some_and(|message| until(message)) {
            return heard;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_hears_when_it_is_ready_that_it_lives_and_that_it_stops() {
    let root = tempfile::tempdir().unwrap();
    let (path, ready) = (root.path().join("notify"), root.path().join("ready"));
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(END_WITHIN)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallystick"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TALLYSTICK_")) {
        command.env_remove(name);
    }
    let child = command
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(root.path().join("data"))
        .arg("--ready-file")
        .arg(&ready)
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "200000")
        .env_remove("WATCHDOG_PID")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Killed(child);

    let heard = hear(&socket, |message| message.contains("READY=1"));
    assert!(ready.exists(), "it is ready only when calls are served");
    let address = std::fs::read_to_string(&ready).unwrap();
    assert!(heard.last().unwrap().contains(&format!("STATUS=serving at {}", address.trim())), "{heard:?}");
    for _ in 0..3 {
        hear(&socket, |message| message == "WATCHDOG=1\n" || message == "WATCHDOG=1");
    }
    let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", child.0.id())).status().unwrap();
    assert!(asked.success());
    hear(&socket, |message| message.contains("STOPPING=1"));
    let status = wait_for("its end", END_WITHIN, async || child.0.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_hangs_is_not_a_sign_of_life() {
    let store = GatedStore::for_synced();
    let shop = Shop::open_on(store.clone(), config()).await;
    let engine = shop.running.engine().clone();
    let at_rest = Look::at(&engine);
    assert!(Look::at(&engine).shows_progress_since(&at_rest));
    store.close();
    let mut ledger = shop.ledger.clone();
    let hanging = tokio::spawn(async move { ledger.accrue(accrual("t1", "anna", 100)).await });
    let first = wait_for("the commit to hang", END_WITHIN, async || {
        let look = Look::at(&engine);
        (engine.metrics.commit_began_ns.get() != 0).then_some(look)
    })
    .await;
    // The housekeeper may have written something of its own just then; the one that follows it hangs for good.
    let stuck = wait_for("the path to stand still", END_WITHIN, async || {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let look = Look::at(&engine);
        (!look.shows_progress_since(&first)).then_some(look)
    })
    .await;
    store.open();
    hanging.await.unwrap().unwrap();
    assert!(Look::at(&engine).shows_progress_since(&stuck));
    drop(engine);
    shop.running.shutdown().await.unwrap();
}
