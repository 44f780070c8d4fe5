//! Checking, publishing and reading versions of the programme.

use tallystick::service::wire::get_program_request::Selector;
use tallystick::service::wire::{self, ProblemSeverity, RefusalCode};
use tonic::Code;

use crate::support::*;

fn doubled() -> String {
    PROGRAM.replace("units = 1\nper_minor", "units = 2\nper_minor")
}

fn publication(id: &str, source: &str) -> wire::PublishProgramRequest {
    let (transaction_id, source) = (id.to_owned(), source.to_owned());
    wire::PublishProgramRequest { transaction_id, source, effective_time: None }
}

async fn check(shop: &mut Shop, source: &str) -> wire::CheckProgramResponse {
    let request = wire::CheckProgramRequest { source: source.to_owned() };
    shop.program.check_program(request).await.unwrap().into_inner()
}

async fn publish(shop: &mut Shop, request: wire::PublishProgramRequest) -> wire::PublishProgramResponse {
    shop.program.publish_program(request).await.unwrap().into_inner()
}

async fn get(shop: &mut Shop, selector: Option<Selector>) -> Result<wire::GetProgramResponse, tonic::Status> {
    shop.program.get_program(wire::GetProgramRequest { selector }).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_states_problems_with_their_places_or_what_the_file_contains() {
    let mut shop = Shop::open().await;
    let good = check(&mut shop, &doubled()).await;
    assert_eq!(good.problems, []);
    let summary = good.summary.unwrap();
    assert_eq!((summary.name.as_str(), summary.currency_code.as_str()), ("corner", "EUR"));
    assert_eq!(summary.caps, ["daily-visits", "daily-points"]);
    assert_eq!((summary.metrics, summary.budgets), (vec!["yearly-spend".to_owned()], vec!["launch".to_owned()]));
    assert_eq!(summary.source_hash, blake3::hash(doubled().as_bytes()).to_hex().to_string());

    let bad = check(&mut shop, &PROGRAM.replace("per_minor = 100", "per_minor = 0")).await;
    assert!(bad.summary.is_none());
    let line = PROGRAM.lines().position(|line| line.starts_with("per_minor")).unwrap() + 1;
    assert_eq!(bad.problems[0].line, i32::try_from(line).unwrap());
    assert_eq!(bad.problems[0].severity(), ProblemSeverity::Error);
    // What is only doubtful is said, and does not stand in the way.
    let twin = "[[rules]]\nname = \"twin\"\nmatch = { category = [\"pastry\"] }\nmultiplier = \"3\"\n[[caps]]";
    let doubtful = check(&mut shop, &PROGRAM.replacen("[[caps]]", twin, 1)).await;
    assert!(doubtful.summary.is_some());
    let severities: Vec<_> = doubtful.problems.iter().map(wire::ProgramProblem::severity).collect();
    assert_eq!(severities, [ProblemSeverity::Warning]);
    // Fine by itself, but it does not follow the version before.
    for (old, new, place) in [("EUR", "USD", (4, 1)), ("days = 30", "days = 31", (7, 1))] {
        let unfit = check(&mut shop, &PROGRAM.replace(old, new)).await;
        assert_eq!((unfit.problems.len(), unfit.summary), (1, None), "{new}");
        let problem = &unfit.problems[0];
        assert_eq!(((problem.line, problem.column), problem.severity()), (place, ProblemSeverity::Error), "{new}");
    }
    let status = shop.program.check_program(wire::CheckProgramRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&status), ["source"]);
}

/// What is only checked is compiled by itself, so that its strings have other numbers than those of the server.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_the_partner_of_a_budget_by_its_name() {
    let mut shop = Shop::open().await;
    let of =
        |partner: &str| format!("{PROGRAM}\n[[budgets]]\nname = \"of-one\"\npartner = \"{partner}\"\nunits = 5_000\n");
    publish(&mut shop, publication("p1", &of("north"))).await;
    let same = check(&mut shop, &of("north").replace("units = 5_000", "units = 6_000")).await;
    assert_eq!((same.problems.len(), same.summary.is_some()), (0, true), "{:?}", same.problems);
    let other = check(&mut shop, &of("south")).await;
    assert_eq!((other.problems.len(), other.summary), (1, None));
    assert!(other.problems[0].message.contains("counts something else in version 2"), "{:?}", other.problems);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_version_judges_from_its_effective_time_on() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.accrue(accrual("t1", "anna", 1_000)).await.granted_points, 10);
    let spent = wire::RedeemRequest {
        transaction_id: "s1".to_owned(),
        account_id: "anna".to_owned(),
        points: 3,
        ..<_>::default()
    };
    let spent = shop.ledger.redeem(spent).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((spent.redeemed_points, spent.program_version), (3, 1));
    let response = publish(&mut shop, publication("p1", &doubled())).await;
    let program = response.program.unwrap();
    assert_eq!((program.version, program.name.as_str(), response.replayed), (2, "corner", false));
    let mut now = accrual("t2", "anna", 1_000);
    now.basket.as_mut().unwrap().receipt_time = None;
    let decision = shop.accrue(now).await;
    assert_eq!((decision.granted_points, decision.program_version), (20, 2));
    let before = shop.accrue(accrual("t3", "anna", 1_000)).await;
    assert_eq!((before.granted_points, before.program_version), (10, 1), "the receipt is from before");
    let reversed = shop.reverse("r1", "t1").await;
    assert_eq!((reversed.reversed_points, reversed.program_version), (10, 1), "the version that judged the original");
    let back = shop.reverse("r2", "s1").await;
    assert_eq!((back.returned_points, back.program_version), (3, 2), "of a burn the version in force");
    // The same publication again is answered, and not published.
    let again = publish(&mut shop, publication("p1", &doubled())).await;
    assert_eq!((again.program.unwrap(), again.replayed), (program, true));
    assert_eq!(get(&mut shop, Some(Selector::Version(3))).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_can_be_read_and_listed() {
    let mut shop = Shop::open().await;
    for number in 2..=4 {
        publish(&mut shop, publication(&format!("p{number}"), &format!("{PROGRAM}\n# {number}\n"))).await;
    }
    let third = get(&mut shop, Some(Selector::Version(3))).await.unwrap();
    assert_eq!(third.source, format!("{PROGRAM}\n# 3\n"));
    assert_eq!(third.program.as_ref().unwrap().source_hash, blake3::hash(third.source.as_bytes()).to_hex().as_str());
    assert_eq!(get(&mut shop, None).await.unwrap().program.unwrap().version, 4);
    let at = |time| Some(Selector::EventTime(time));
    let ever = prost_types::Timestamp { seconds: 0, nanos: 0 };
    assert_eq!(get(&mut shop, at(ever)).await.unwrap().program.unwrap().version, 1);
    let effective = third.program.unwrap().effective_time.unwrap();
    assert_eq!(get(&mut shop, at(effective)).await.unwrap().program.unwrap().version, 3);
    for (number, code) in [(0, Code::InvalidArgument), (-1, Code::InvalidArgument), (5, Code::NotFound)] {
        assert_eq!(get(&mut shop, Some(Selector::Version(number))).await.unwrap_err().code(), code, "{number}");
    }
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = wire::ListProgramsRequest { page_size: 3, page_token };
        let page = shop.program.list_programs(request).await.unwrap().into_inner();
        listed.push(page.programs.iter().map(|program| program.version).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [vec![4, 3, 2], vec![1]]);
    for page_token in ["0", "5", "x"] {
        let request = wire::ListProgramsRequest { page_size: 3, page_token: page_token.to_owned() };
        let status = shop.program.list_programs(request).await.unwrap_err();
        assert_eq!(wrong_fields(&status), ["page_token"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_says_why_and_leaves_its_id_free() {
    let mut shop = Shop::open().await;
    let past = wire::PublishProgramRequest { effective_time: time(now_seconds() - 5), ..publication("p1", PROGRAM) };
    let rows = [
        (publication("p1", "[program"), Code::InvalidArgument, "PROGRAM_INVALID"),
        (publication("p1", &PROGRAM.replace("EUR", "USD")), Code::InvalidArgument, "PROGRAM_INVALID"),
        (past, Code::FailedPrecondition, "EFFECTIVE_TIME_REFUSED"),
        (publication("", ""), Code::InvalidArgument, "INVALID_REQUEST"),
    ];
    for (request, code, expected) in rows {
        let status = shop.program.publish_program(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
        if expected == "PROGRAM_INVALID" {
            assert!(wrong_fields(&status).iter().all(|field| field == "source"));
        }
    }
    let later = now_seconds() + 3_600;
    let request = wire::PublishProgramRequest { effective_time: time(later), ..publication("p1", &doubled()) };
    assert_eq!(publish(&mut shop, request.clone()).await.program.unwrap().effective_time, time(later));
    assert_eq!(get(&mut shop, None).await.unwrap().program.unwrap().version, 1, "not in force yet");
    let before = wire::PublishProgramRequest { effective_time: time(later - 1), ..publication("p2", PROGRAM) };
    let status = shop.program.publish_program(before).await.unwrap_err();
    assert_eq!(reason(&status), "EFFECTIVE_TIME_REFUSED");
    // As soon as can be would be after that hour: nobody is kept waiting for it.
    let status = shop.program.publish_program(publication("p2", PROGRAM)).await.unwrap_err();
    assert_eq!(reason(&status), "EFFECTIVE_TIME_REFUSED");
    assert!(status.message().contains("version 2"), "{}", status.message());
    let rows = [
        (publication("p1", PROGRAM), "source"),
        (wire::PublishProgramRequest { effective_time: time(later + 1), ..request }, "effective_time"),
    ];
    for (request, field) in rows {
        let status = shop.program.publish_program(request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "TRANSACTION_ID_REUSED"));
        assert!(status.message().contains(field), "{}", status.message());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_and_commands_share_one_name_space_of_ids() {
    let mut shop = Shop::open().await;
    publish(&mut shop, publication("x1", &doubled())).await;
    shop.accrue(accrual("x2", "anna", 100)).await;
    let refused = shop.accrue(accrual("x1", "anna", 100)).await;
    assert_eq!(refusal(&refused), RefusalCode::TransactionIdReused);
    assert_eq!(refused.refusal.unwrap().field, "command");
    assert_eq!(refusal(&shop.reverse("r1", "x1").await), RefusalCode::NotReversible);
    let status = shop.program.publish_program(publication("x2", PROGRAM)).await.unwrap_err();
    assert_eq!(reason(&status), "TRANSACTION_ID_REUSED");
    // Across a restart too.
    let mut shop = shop.reopen(config()).await;
    assert!(publish(&mut shop, publication("x1", &doubled())).await.replayed);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_go_on_while_versions_are_published() {
    let mut shop = Shop::open_under(&plain_program(&[])).await;
    let mut ledger = shop.ledger.clone();
    let tills = tokio::spawn(async move {
        for number in 0..500 {
            let mut request = accrual(&format!("t{number}"), "anna", 100);
            request.basket.as_mut().unwrap().receipt_time = None;
            let decision = ledger.accrue(request).await.unwrap().into_inner().decision.unwrap();
            assert!(decision.refusal.is_none());
        }
    });
    for number in 0..10 {
        let source = plain_program(&[("multiplier = \"2\"", &format!("multiplier = \"{}\"", number + 3))]);
        let version = publish(&mut shop, publication(&format!("p{number}"), &source)).await.program.unwrap().version;
        assert_eq!(version, number + 2);
    }
    tills.await.unwrap();
    assert_eq!(shop.balance("anna").await, 500);
}
