//! What `/metrics` shows, as a scraper reads it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::blackbox::Site;

/// Asks over HTTP; the status and the body.
pub fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path} is answered with {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Where the last server of a site shows its metrics, from what it prints. It may be ready a moment before it says so.
pub fn metrics_address(site: &Site) -> SocketAddr {
    for _ in 0..6_000 {
        let said: String =
            (0..9).filter_map(|n| std::fs::read_to_string(site.root().join(format!("serve-{n}.out"))).ok()).collect();
        let mut lines = said.lines().rev().filter_map(|line| line.strip_prefix("metrics    http://"));
        if let Some(address) = lines.find_map(|line| line.strip_suffix("/metrics")) {
            return address.parse().unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the server does not say where its metrics are");
}

/// A series with its values.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub unit: String,
    pub meaning: String,
    /// The label, if it has one.
    pub label: String,
    /// By the whole name of the sample, labels included.
    pub samples: BTreeMap<String, f64>,
}

/// What was scraped, by the name that a query uses: with the ending of a counter.
#[derive(Debug)]
pub struct Scraped(pub BTreeMap<String, Family>);

impl Scraped {
    pub fn of(address: SocketAddr) -> Self {
        let (status, text) = get(address, "/metrics");
        assert_eq!(status, 200);
        assert!(text.ends_with("# EOF\n"), "the text is whole");
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let (mut name, mut meaning) = (String::new(), String::new());
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", _, text] => (*text).clone_into(&mut meaning),
                ["#", "TYPE", base, kind] => {
                    let ending = match *kind {
                        "counter" => "_total",
                        "info" => "_info",
                        _ => "",
                    };
                    name = format!("{base}{ending}");
                    let family = Family { kind: (*kind).to_owned(), meaning: meaning.clone(), ..Family::default() };
                    assert!(families.insert(name.clone(), family).is_none(), "{name} is shown twice");
                }
                ["#", "UNIT", _, unit] => families.get_mut(&name).unwrap().unit = (*unit).to_owned(),
                ["#", ..] => {}
                _ => {
                    let (sample, value) = line.rsplit_once(' ').unwrap();
                    assert!(sample.starts_with(&name), "{sample} belongs to {name}");
                    let family = families.get_mut(&name).unwrap();
                    let labels = sample.split_once('{').map_or("", |(_, labels)| labels);
                    let own = labels.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label);
                    if let Some(label) = own.into_iter().find(|label| *label != "le") {
                        label.clone_into(&mut family.label);
                    }
                    family.samples.insert(sample.to_owned(), value.parse().unwrap());
                }
            }
        }
        Self(families)
    }

    /// The value of a sample.
    #[track_caller]
    pub fn value(&self, sample: &str) -> f64 {
        let found = self.0.values().find_map(|family| family.samples.get(sample));
        *found.unwrap_or_else(|| panic!("{sample} is not shown"))
    }

    /// The values of a series' label.
    pub fn label_values(&self, name: &str) -> Vec<String> {
        let family = &self.0[name];
        let key = format!("{}=\"", family.label);
        let mut values: Vec<String> = family
            .samples
            .keys()
            .filter_map(|sample| Some(sample.split_once(&key)?.1.split('"').next()?.to_owned()))
            .collect();
        values.sort();
        values.dedup();
        values
    }
}
