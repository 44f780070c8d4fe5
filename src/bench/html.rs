//! The report as one page: every figure with its conditions, throughput over time, pauses, and latency by quantile.
//!
//! What must stay true: the page stands alone (no script, nothing fetched), and says nothing that the figures do not.

use std::fmt::Write;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::figures::{Figure, Report};
use super::recorder::{Measured, SLOT_NS};

/// Size of a plot in pixels.
const PLOT: (u32, u32) = (860, 240);
/// Points of a line; more are drawn as the extremes of their neighbours.
const POINTS_MAX: usize = 800;
/// Quantiles of the latency plot reach to this many nines.
const NINES_MAX: f64 = 5.0;

const STYLE: &str = "\
    body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}\
    table{border-collapse:collapse;margin:1rem 0}\
    td,th{padding:.2rem .7rem;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}\
    h2{margin-top:2.5rem}svg{max-width:100%;height:auto}p{margin:.4rem 0}";

/// The whole page. `lines` says what a figure's conditions are, a line each.
#[must_use]
pub fn page(report: &Report, machine: &[String], lines: impl Fn(&Figure) -> Vec<String>) -> String {
    let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<title>Tallystick benchmark</title><style>");
    out.push_str(STYLE);
    out.push_str("</style></head><body>\n<h1>Tallystick benchmark</h1>\n");
    for line in machine {
        paragraph(&mut out, line);
    }
    if !report.ratios.is_empty() {
        out.push_str("<h2>Ratios of alternating runs</h2>\n<p>These are the figures to quote.</p>\n");
        out.push_str("<table><tr><th>Ratio</th><th>median</th><th>least</th><th>most</th><th>pairs</th></tr>\n");
        for ratio in &report.ratios {
            let numbers = format!(
                "<td>{:.3}</td><td>{:.3}</td><td>{:.3}</td><td>{}</td>",
                ratio.median,
                ratio.min,
                ratio.max,
                ratio.pairs.len()
            );
            push(&mut out, format_args!("<tr><td>{}</td>{numbers}</tr>\n", escaped(&ratio.name)));
        }
        out.push_str("</table>\n");
    }
    for figure in &report.results {
        section(&mut out, figure, &lines(figure));
    }
    out.push_str("<h2>Verification</h2>\n");
    for verification in &report.verifications {
        let verdict = if verification.verified { "verified from the first byte, intact" } else { "not verified" };
        let text = format!(
            "The journal of {}: {} records, {} bytes, {verdict}. The server caused {:.2} times as much to be written.",
            verification.name, verification.record_count, verification.journal_bytes, verification.write_amplification
        );
        paragraph(&mut out, &text);
    }
    out.push_str("</body></html>\n");
    out
}

fn section(out: &mut String, figure: &Figure, lines: &[String]) {
    push(out, format_args!("<h2>{}: {:.0} a second</h2>\n", escaped(&figure.name), figure.ops_per_second));
    for line in lines {
        paragraph(out, line);
    }
    if let Some(measured) = &figure.measured {
        out.push_str(&throughput(measured));
        out.push_str(&pauses(measured));
        out.push_str(&quantiles(measured));
    }
}

/// Writing to a string does not fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string does not fail");
}

fn paragraph(out: &mut String, text: &str) {
    push(out, format_args!("<p>{}</p>\n", escaped(text)));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Seconds at which a slot begins.
fn seconds_of(slot: usize) -> f64 {
    slot as f64 * SLOT_NS as f64 / 1e9
}

fn throughput(measured: &Measured) -> String {
    let per_second = 1e9 / SLOT_NS as f64;
    let points =
        measured.all.slots.iter().enumerate().map(|(slot, count)| (seconds_of(slot), *count as f64 * per_second));
    lines("Answers a second, in slots of 100 ms", "seconds", &[("answers", thinned(points.collect()))])
}

fn pauses(measured: &Measured) -> String {
    let late = measured.control.slots_ns.iter().enumerate().map(|(slot, ns)| (seconds_of(slot), *ns as f64 / 1e6));
    let latency = measured.all.slot_latency.iter().enumerate();
    let latency =
        latency.map(|(slot, (sum_ns, count))| (seconds_of(slot), *sum_ns as f64 / 1e6 / (*count).max(1) as f64));
    let all =
        [("mean latency", thinned(latency.collect())), ("a thread that only slept, late by", thinned(late.collect()))];
    lines("Milliseconds, in slots of 100 ms", "seconds", &all)
}

/// No more points than can be seen: of neighbours the least and the most.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let group = points.len().div_ceil(POINTS_MAX / 2);
    let extremes = |points: &[(f64, f64)]| {
        let least = points.iter().min_by(|one, other| one.1.total_cmp(&other.1)).copied();
        let most = points.iter().max_by(|one, other| one.1.total_cmp(&other.1)).copied();
        [least, most]
    };
    points.chunks(group).flat_map(extremes).flatten().collect()
}

const COLOURS: [RGBColor; 2] = [RGBColor(31, 100, 180), RGBColor(200, 80, 40)];

/// A plot of lines over time; empty when it cannot be drawn.
fn lines(title: &str, below: &str, series: &[(&str, Vec<(f64, f64)>)]) -> String {
    let points = || series.iter().flat_map(|(_, points)| points);
    let right = points().map(|point| point.0).fold(0.1, f64::max);
    let top = points().map(|point| point.1).fold(0.1, f64::max) * 1.05;
    svg(title, below, 0.0..right, 0.0..top, series)
}

/// Latency by quantile: 0 is the least, 1 the 90th percentile, 2 the 99th, and so on.
fn quantiles(measured: &Measured) -> String {
    let nines = |step: u32| f64::from(step) * 0.05;
    let last = (measured.all.latency.len().max(1) as f64).log10().min(NINES_MAX);
    let steps = (0..=100).map(nines).take_while(|nines| *nines <= last);
    let at = |nines: f64| measured.quantile_ns(1.0 - 10_f64.powf(-nines)) as f64 / 1_000.0;
    let points: Vec<(f64, f64)> = steps.map(|nines| (nines, at(nines).max(0.1))).collect();
    let least = points.iter().map(|point| point.1).fold(f64::MAX, f64::min).max(0.1);
    let most = points.iter().map(|point| point.1).fold(least * 2.0, f64::max) * 1.1;
    let below = "nines: 1 is the 90th percentile, 2 the 99th, 3 the 99.9th";
    svg("Latency in µs by quantile", below, 0.0..last.max(1.0), (least..most).log_scale(), &[("latency", points)])
}

fn svg<Y>(title: &str, below: &str, across: std::ops::Range<f64>, up: Y, series: &[(&str, Vec<(f64, f64)>)]) -> String
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut text = String::new();
    let drawn = draw(&mut text, title, below, across, up, series);
    // A plot that cannot be drawn is left out; the figures stand without it.
    if drawn.is_some() { text } else { String::new() }
}

fn draw<Y>(
    text: &mut String,
    title: &str,
    below: &str,
    across: std::ops::Range<f64>,
    up: Y,
    series: &[(&str, Vec<(f64, f64)>)],
) -> Option<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let area = SVGBackend::with_string(text, PLOT).into_drawing_area();
    area.fill(&WHITE).ok()?;
    let mut chart = ChartBuilder::on(&area);
    let chart = chart.caption(title, ("sans-serif", 15)).margin(6).x_label_area_size(36).y_label_area_size(72);
    let mut chart = chart.build_cartesian_2d(across, up).ok()?;
    chart.configure_mesh().light_line_style(TRANSPARENT).x_desc(below).draw().ok()?;
    for ((name, points), colour) in series.iter().zip(COLOURS) {
        let line = chart.draw_series(LineSeries::new(points.iter().copied(), &colour)).ok()?;
        line.label(*name).legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 14, y)], colour));
    }
    if series.len() > 1 {
        chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.2)).draw().ok()?;
    }
    area.present().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::recorder::{Control, Recorder, Window};

    fn measured() -> Measured {
        let window = Window { begin_ns: 0, end_ns: 2_000_000_000 };
        let mut all = Recorder::new(window);
        for at in 0..2_000 {
            all.accepted(at * 1_000_000, 1);
            all.took(at * 1_000_000, 1_000 * (at + 1));
        }
        let control = Control { slots_ns: vec![5_000; 20], ..Control::new() };
        Measured { window_ns: 2_000_000_000, all, longest_pause_ns: 1, control }
    }

    #[test]
    fn the_page_stands_alone_and_shows_three_plots_a_run() {
        let results = vec![Figure::of("unary", measured())];
        let report = Report { results, ..Report::default() };
        let page = page(&report, &["a <machine> & more".to_owned()], |_| vec!["conditions".to_owned()]);
        assert_eq!(page.matches("<svg").count(), 3);
        assert!(!page.contains("<script") && !page.contains("href=") && !page.contains("src="));
        assert!(page.contains("a &lt;machine&gt; &amp; more") && page.contains("<p>conditions</p>"));
    }

    #[test]
    fn many_points_are_thinned_to_their_extremes() {
        let points: Vec<(f64, f64)> = (0..100_000).map(|at| (f64::from(at), f64::from(at % 7))).collect();
        let thin = thinned(points);
        assert!(thin.len() <= POINTS_MAX + 2, "{}", thin.len());
        assert!(thin.iter().any(|point| point.1 < 0.5) && thin.iter().any(|point| point.1 > 5.5));
    }
}
