//! `tallystick export accounts --all-wallets`: what is set aside, owed and pending, and money, of a server and of the
//! directory that it leaves.

use std::fs;

use tallystick::service::wire;
use tallystick::service::wire::ledger_service_client::LedgerServiceClient;
use tonic::transport::Channel;

use crate::harness::{Server, run, text};
use crate::support::{accrual, reversal};

const PROGRAM: &str = r#"
[program]
name = "cafe"
currency = "EUR"
time_zone = "UTC"

[[wallets]]
name = "points"

[[wallets]]
name = "card"
kind = "money"
scale = 2

[earn]
wallet = "points"
units = 1
per_minor = 100
rounding = "floor"
rounded_per = "basket"
stacking = "best-of"

[refunds]
when_spent = "debt"

[redemption]
hold_minutes = 60

[[caps]]
name = "large-days"
measure = "units"
window = "day"
limit = 100
over = "hold"
"#;

/// Anna has points of which some are held, and money, and pays with both; Ben brings back what he had spent.
async fn make_history(url: &str) {
    let mut ledger = LedgerServiceClient::new(Channel::from_shared(url.to_owned()).unwrap().connect().await.unwrap());
    for (id, account, amount_minor) in [("t1", "anna", 10_000), ("t2", "anna", 1_000), ("t3", "ben", 1_000)] {
        let earned = ledger.accrue(accrual(id, account, amount_minor)).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(earned.granted_points, amount_minor / 100);
    }
    let top_up = wire::TopUpRequest {
        transaction_id: "paid-in".to_owned(),
        account_id: "anna".to_owned(),
        wallet: "card".to_owned(),
        amount_minor: 2_500,
        source: "till".to_owned(),
        ..<_>::default()
    };
    assert_eq!(ledger.top_up(top_up).await.unwrap().into_inner().decision.unwrap().refusal, None);
    for (id, wallet, points) in [("a1", "points", 30), ("a2", "card", 450)] {
        let set_aside = wire::AuthorizeRequest {
            transaction_id: id.to_owned(),
            account_id: "anna".to_owned(),
            wallet: wallet.to_owned(),
            points,
            ..<_>::default()
        };
        assert_eq!(ledger.authorize(set_aside).await.unwrap().into_inner().decision.unwrap().refusal, None);
    }
    let spent = wire::RedeemRequest {
        transaction_id: "s1".to_owned(),
        account_id: "ben".to_owned(),
        points: 8,
        ..<_>::default()
    };
    assert_eq!(ledger.redeem(spent).await.unwrap().into_inner().decision.unwrap().redeemed_points, 8);
    let back = ledger.reverse(reversal("v1", "t3")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((back.reversed_points, back.owed_points), (2, 8));
}

#[test]
fn what_is_set_aside_owed_and_pending_has_columns_and_so_has_money() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cafe.toml");
    fs::write(&file, PROGRAM).unwrap();
    let server = Server::start(folder.path(), &["--program", text(&file)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(make_history(&server.url));

    let plain = server.run(&["export", "accounts"]).expect(0).stdout;
    let told: Vec<&str> = plain.lines().collect();
    let columns = "account_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions";
    assert_eq!(told, [columns, "anna,2,110,0,0,110,0,0,0", "ben,1,8,8,0,0,0,0,0"]);
    // What every wallet has comes behind: balance, pending, available, set aside, owed.
    let wide = server.run(&["export", "accounts", "--all-wallets"]).expect(0).stdout;
    let wallets = ["points", "card"].map(|wallet| {
        ["balance", "pending", "available", "set_aside", "owed"].map(|column| format!(",{wallet}.{column}")).concat()
    });
    let behind = [wallets.concat(), ",110,10,70,30,0,2500,0,2050,450,0".into(), ",0,0,0,0,8,0,0,0,0,0".into()];
    let expected: Vec<String> = told.iter().zip(behind).map(|(row, more)| format!("{row}{more}")).collect();
    assert_eq!(wide.lines().collect::<Vec<_>>(), expected);

    let json = server.run(&["export", "accounts", "--format", "json"]).expect(0).object();
    let of_anna = &json["accounts"][0]["wallets"];
    for (place, figures) in [(0, [110, 10, 70, 30, 0]), (1, [2_500, 0, 2_050, 450, 0])] {
        let told = ["balance", "pending", "available", "set_aside", "owed"].map(|name| of_anna[place][name].as_i64());
        assert_eq!(told, figures.map(Some), "{of_anna}");
    }
    assert_eq!(json["accounts"][1]["wallets"][0]["owed"], 8);
    // The settlement says what of it waits.
    let said = server.run(&["settlement", "report"]).expect(0).stdout;
    assert!(
        said.contains(" points: 120 issued, 2 reversed, 8 burned, 0 expired, 110 outstanding (10 held for review)"),
        "{said}"
    );
    let settled = server.run(&["settlement", "report", "--json"]).expect(0).object();
    assert_eq!(settled["standings"][0]["pending_points"], 10, "{settled}");
    server.stop();
    let data = folder.path().join("data");
    let offline = run(["export", "accounts", "--all-wallets", "--data", text(&data)]).expect(0).stdout;
    assert_eq!(offline, wide);
    assert_eq!(run(["settlement", "report", "--json", "--data", text(&data)]).expect(0).object(), settled);
}

#[test]
fn a_wrong_command_line_is_an_object_where_one_is_asked_for() {
    let error = run(["export", "accounts", "--json", "--colour"]).expect(2).object();
    assert_eq!((&error["error"]["kind"], &error["error"]["exit_status"]), (&"usage".into(), &2.into()), "{error}");
    let help = run(["export", "accounts", "--json", "--help"]).expect(0);
    assert!(help.stdout.contains("--all-wallets") && help.stderr.is_empty(), "{help:?}");
}
