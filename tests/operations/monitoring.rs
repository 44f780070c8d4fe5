//! The dashboard and the alerts: they ask for nothing that is not documented, and lead to what an operator can do.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use tallystick::limits;

use crate::blackbox::is_said_to_lack;
use crate::{read, repository};

/// What is documented: each series with the names under which a query may ask for it, of a histogram its parts.
fn documented() -> Vec<(String, Vec<String>)> {
    let mut series = Vec::new();
    for row in read("docs/metrics.md").lines().filter(|line| line.starts_with("| `tallystick_")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`').to_owned();
        let names = match cells[2] {
            "histogram" => ["bucket", "sum", "count"].map(|part| format!("{name}_{part}")).to_vec(),
            _ => vec![name.clone()],
        };
        series.push((name, names));
    }
    assert!(series.len() > 30, "the table is where it is looked for");
    series
}

/// Names that a query may use.
fn queryable() -> BTreeSet<String> {
    documented().into_iter().flat_map(|(_, names)| names).collect()
}

/// The series that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    words.filter(|word| word.starts_with("tallystick_")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_shows_every_series_and_only_those_that_exist() {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/tallystick.json")).unwrap();
    let mut queries = String::new();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "numbers of panels are unique");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_i64().unwrap());
        assert!(x + w <= 24, "{} is on the page", panel["title"]);
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(places.insert(place), "{} covers another panel", panel["title"]);
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert!(!panel["description"].as_str().unwrap_or_default().is_empty(), "{} is explained", panel["title"]);
            queries.push_str(target["expr"].as_str().unwrap());
            queries.push('\n');
        }
    }
    let (named, queryable) = (named(&queries), queryable());
    let unknown: Vec<_> = named.difference(&queryable).collect();
    assert!(unknown.is_empty(), "the dashboard asks for {unknown:?}");
    let all = documented();
    let unseen: Vec<_> = all.iter().filter(|(_, names)| names.iter().all(|name| !named.contains(name))).collect();
    assert!(unseen.is_empty(), "the dashboard shows nothing of {unseen:?}");
}

#[test]
fn every_alert_rests_on_series_that_exist_is_tested_and_tells_what_to_do() {
    let alerts = read("deploy/prometheus/alerts.yml");
    let lines_of = |key: &str| -> Vec<String> {
        alerts.lines().filter_map(|line| Some(line.trim().strip_prefix(key)?.trim().to_owned())).collect()
    };
    let rules = lines_of("- alert:");
    let expressions = lines_of("expr:");
    let unknown: Vec<_> = named(&expressions.join("\n")).difference(&queryable()).cloned().collect();
    assert!(unknown.is_empty(), "the alerts ask for {unknown:?}");
    let guide = read("docs/operations.md");
    let headings: BTreeSet<String> = guide
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .collect();
    let runbooks = lines_of("runbook:");
    assert_eq!((rules.len(), runbooks.len()), (expressions.len(), expressions.len()));
    for runbook in runbooks {
        let heading = runbook.strip_prefix("docs/operations.md#").expect("it is in the guide");
        assert!(headings.contains(heading), "the guide has no {heading}: {headings:?}");
    }
    let tests = read("deploy/prometheus/alerts_test.yml");
    for rule in rules {
        assert!(tests.contains(&format!("alertname: {rule},")), "{rule} is tested");
    }
}

/// What can never be had again is told of when half of it is used, by the bounds that the ledger has.
#[test]
fn alerts_and_dashboard_know_how_many_keys_and_freezes_there_can_be() {
    let (alerts, dashboard) = (read("deploy/prometheus/alerts.yml"), read("deploy/grafana/tallystick.json"));
    for (series, most) in [("tallystick_keys", limits::KEYS_MAX), ("tallystick_freezes", limits::FREEZES_MAX)] {
        let alert = format!("expr: {series} / {most} > 0.5\n");
        assert!(alerts.contains(&alert), "no alert says {alert}");
        let share = format!("{series}{{instance=~\\\"$instance\\\"}} / {most}\"");
        assert!(dashboard.contains(&share), "the dashboard does not show {share}");
    }
}

/// Prometheus' own tool judges the rules and runs their tests.
#[test]
fn promtool_agrees() {
    if is_said_to_lack("TALLYSTICK_WITHOUT_PROMTOOL") {
        return;
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        let mut promtool = Command::new(repository("deploy/promtool.sh"));
        let output = promtool.args(arguments).current_dir(repository("deploy/prometheus")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}
