//! Certificates by script: a server serves with them, and a till comes in by its certificate alone.

use std::process::Command;

use tallystick::service::wire as api;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use crate::harness::{Server, repository, run, text};

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_comes_in_by_the_certificate_that_the_script_made() {
    let folder = tempfile::tempdir().unwrap();
    let made = folder.path().join("certificates");
    let script = repository("deploy/certificates.sh");
    let output = Command::new("sh").arg(script).args([&made]).arg("ledger.example").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for private in ["ca.key", "server.key", "client.key"] {
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(made.join(private)).unwrap());
        assert_eq!(mode & 0o077, 0, "{private} is for its owner alone");
    }
    let path = |name: &str| text(&made.join(name)).to_owned();
    let first = folder.path().join("first-key");
    let server = Server::start(
        folder.path(),
        &[
            "--authentication",
            "required",
            "--tls-certificate",
            &path("server.pem"),
            "--tls-key",
            &path("server.key"),
            "--tls-client-ca",
            &path("ca.pem"),
            "--tls-client",
            "required",
            "--first-key-file",
            text(&first),
        ],
    );
    let url = format!("https://{}", server.address);
    let tls = ["--server", &url, "--ca-file", &path("ca.pem"), "--server-name", "ledger.example"].map(str::to_owned);
    let shown = ["--tls-cert", &path("client.pem"), "--tls-key", &path("client.key")].map(str::to_owned);
    let ask = |arguments: &[&str]| {
        let all = arguments.iter().map(|text| (*text).to_owned()).chain(tls.clone()).chain(shown.clone());
        run(all.collect::<Vec<_>>())
    };
    // The certificate becomes a till.
    let create = ["keys", "create", "--name", "till 1", "--role", "till", "--partner", "north", "--store", "vienna-1"];
    let create = [&create[..], &["--certificate-name", "test-client.example", "--api-key-file", text(&first)]].concat();
    ask(&create).expect(0);
    ask(&["status", "--ready"]).expect(0);
    // Without a certificate nobody comes in, not even to ask that.
    let stranger = run(["status", "--ready"].map(str::to_owned).into_iter().chain(tls.clone()).collect::<Vec<_>>());
    assert_ne!(stranger.status, 0);

    let identity = Identity::from_pem(read(&made.join("client.pem")), read(&made.join("client.key")));
    let trust = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&made.join("ca.pem"))))
        .domain_name("localhost")
        .identity(identity);
    let channel = Channel::from_shared(url).unwrap().tls_config(trust).unwrap().connect().await.unwrap();
    let mut ledger = LedgerServiceClient::new(channel);
    let basket = api::Basket {
        store_id: "vienna-1".to_owned(),
        receipt_number: "1".to_owned(),
        receipt_time: Some(std::time::SystemTime::from(jiff::Timestamp::now()).into()),
        currency_code: "EUR".to_owned(),
        lines: vec![api::Line { sku: "espresso".to_owned(), quantity: 1, amount_minor: 500, ..<_>::default() }],
        ..<_>::default()
    };
    let request = |id: &str, store: &str| api::AccrueRequest {
        transaction_id: id.to_owned(),
        account_id: "anna".to_owned(),
        basket: Some(api::Basket { store_id: store.to_owned(), ..basket.clone() }),
        ..<_>::default()
    };
    let decision = ledger.accrue(request("t1", "vienna-1")).await.unwrap().into_inner().decision.unwrap();
    assert!(decision.granted_points > 0, "{decision:?}");
    let status = ledger.accrue(request("t2", "vienna-2")).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::PermissionDenied, "it is a till of its own store");
    server.stop();
}
