//! What settings say of each other, judged when each has been judged by itself.
//!
//! What must stay true: nothing is read and no name is looked up here; whoever made a configuration, it is judged by the same
//! words, and a server that is told of none of it refuses to start all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use super::sources::{ConfigProblem, Source};
use super::{Authentication, Config};

/// Settings that do not fit together. `Display` is a sentence for an operator, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// The setting that asks for something of others.
    setting: &'static str,
    /// The others.
    others: &'static [&'static str],
    /// What is wrong.
    message: String,
    /// What would be right, where the message does not say so.
    hint: Option<&'static str>,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl Contradiction {
    fn new(setting: &'static str, others: &'static [&'static str], message: impl Into<String>) -> Self {
        Self { setting, others, message: message.into(), hint: None }
    }
}

impl Config {
    /// All settings that do not fit together, whatever the address is that is listened on.
    #[must_use]
    pub fn contradictions(&self) -> Vec<Contradiction> {
        let mut found: Vec<_> = self.half_of_tls().into_iter().chain(self.part_of_tokens()).collect();
        if self.authentication == Authentication::Off {
            let of_callers = [
                ("token_keys", "has", self.token_keys.is_some()),
                ("rate_limits", "have", !self.rate_limits.is_empty()),
                ("name_limits", "have", self.name_limits != Self::default().name_limits),
                ("second_person", "has", !self.second_person.acts.is_empty()),
            ];
            let stated = of_callers.into_iter().filter(|(.., is_stated)| *is_stated);
            found.extend(stated.map(|(setting, verb, _)| {
                let message = format!("{setting} {verb} a meaning only with authentication = \"required\"");
                Contradiction::new(setting, &["authentication"], message)
            }));
        }
        found
    }

    fn half_of_tls(&self) -> Option<Contradiction> {
        let stated = match (&self.tls_certificate, &self.tls_key, &self.tls_client_ca) {
            (Some(_), Some(_), _) | (None, None, None) => return None,
            (Some(_), None, _) => "tls_certificate",
            (None, Some(_), _) => "tls_key",
            (None, None, Some(_)) => "tls_client_ca",
        };
        let others = &["tls_certificate", "tls_key"];
        Some(Contradiction::new(stated, others, "TLS needs both tls_certificate and tls_key"))
    }

    fn part_of_tokens(&self) -> Option<Contradiction> {
        let stated = match (&self.token_keys, &self.token_issuer, &self.token_audience) {
            (Some(_), Some(_), Some(_)) | (None, None, None) => return None,
            (Some(_), ..) => "token_keys",
            (None, Some(_), _) => "token_issuer",
            (None, None, Some(_)) => "token_audience",
        };
        let others = &["token_keys", "token_issuer", "token_audience"];
        Some(Contradiction::new(stated, others, "tokens need token_keys, token_issuer and token_audience, all three"))
    }

    /// What is wrong with listening on this address, where other machines reach it.
    #[must_use]
    pub fn exposed_by(&self, address: SocketAddr) -> Option<Contradiction> {
        if address.ip().is_loopback() || self.allow_unauthenticated_plaintext_beyond_loopback {
            return None;
        }
        let how = match (self.authentication, &self.tls_certificate) {
            (Authentication::Required, Some(_)) => return None,
            (Authentication::Required, None) => "to send their credentials in the clear",
            (Authentication::Off, _) => "no credentials",
        };
        Some(Contradiction {
            setting: "listen",
            others: &["tls_certificate", "authentication", "allow_unauthenticated_plaintext_beyond_loopback"],
            message: format!("{address} can be reached from other machines, and callers would need {how}"),
            hint: Some(
                "set tls_certificate, tls_key and authentication = \"required\", listen on 127.0.0.1, or say \
                 --allow-unauthenticated-plaintext-beyond-loopback",
            ),
        })
    }
}

/// The problems between settings, each with the place of the setting that asks for others. Nothing is said of those that are
/// wrong by themselves, for what they are to be is not known.
pub(super) fn problems(
    config: &Config,
    sources: &BTreeMap<&'static str, Source>,
    wrong: &[&'static str],
) -> Vec<ConfigProblem> {
    // An address that stands there as such; what a name stands for is known when it is listened on.
    let exposed = config.listen.parse::<SocketAddr>().ok().and_then(|address| config.exposed_by(address));
    let found = config.contradictions().into_iter().chain(exposed);
    let is_known = |name: &&'static str| !wrong.contains(name);
    let known = found.filter(|one| is_known(&one.setting) && one.others.iter().all(is_known));
    known
        .filter_map(|one| {
            // What is not stated is a default, and defaults ask for nothing.
            let source = sources.get(one.setting)?.clone();
            let hint = one.hint.map(str::to_owned);
            Some(ConfigProblem { source, message: format!("{}.", one.message), hint })
        })
        .collect()
}
