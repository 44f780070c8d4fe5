//! The configuration in force, as a file that means the same and as JSON, with the source of each value.

use serde_json::{Map, Value, json};

use super::{Config, Loaded, LogFormat, NS_PER_HOUR, SETTINGS};

impl Loaded {
    /// A configuration file with the values in force, each with its source in a comment.
    #[must_use]
    pub fn in_toml(&self) -> String {
        let mut text = String::new();
        for spec in &SETTINGS {
            let line = match self.config.value_of(spec.name) {
                Value::Null if spec.is_hidden && !self.sources.contains_key(spec.name) => continue,
                Value::Null if spec.is_hidden => format!("# {} is set by {}", spec.name, self.source_of(spec.name)),
                Value::Null => format!("# {} is not set", spec.name),
                // A string of JSON is a string of TOML, and so is a whole number.
                value => format!("{} = {value}  # {}", spec.name, self.source_of(spec.name)),
            };
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// An object with the value and the source of each setting.
    #[must_use]
    pub fn as_json(&self) -> Value {
        let shown = SETTINGS.iter().filter(|spec| !spec.is_hidden || self.sources.contains_key(spec.name));
        let entries = shown.map(|spec| {
            let value = json!({ "value": self.config.value_of(spec.name), "source": self.source_of(spec.name) });
            (spec.name.to_owned(), value)
        });
        Value::Object(entries.collect::<Map<_, _>>())
    }

    fn source_of(&self, name: &str) -> String {
        self.sources.get(name).map_or_else(|| "default".to_owned(), ToString::to_string)
    }
}

impl Config {
    /// The value in force; null where nothing is set.
    fn value_of(&self, name: &str) -> Value {
        let path = |path: &std::path::Path| json!(path.display().to_string());
        match name {
            "listen" => json!(self.listen),
            "metrics_listen" => json!(self.metrics_listen),
            "data" => path(&self.data),
            "program" => self.program.as_deref().map_or(Value::Null, path),
            "partner" => json!(self.partner),
            "authentication" => json!(self.authentication.to_string()),
            "first_key_file" => self.first_key_file.as_deref().map_or(Value::Null, path),
            "tls_certificate" => self.tls_certificate.as_deref().map_or(Value::Null, path),
            "tls_key" => self.tls_key.as_deref().map_or(Value::Null, path),
            "tls_client_ca" => self.tls_client_ca.as_deref().map_or(Value::Null, path),
            "tls_client" => json!(if self.tls_client_required { "required" } else { "optional" }),
            "token_keys" => self.token_keys.as_deref().map_or(Value::Null, path),
            "token_issuer" => json!(self.token_issuer),
            "token_audience" => json!(self.token_audience),
            "token_clock_skew_seconds" => json!(self.token_clock_skew_seconds),
            "second_person" => {
                let acts: Vec<&str> = self.second_person.acts.iter().map(|act| act.name()).collect();
                json!(if acts.is_empty() { "off".to_owned() } else { acts.join(", ") })
            }
            "second_person_hours" => json!(self.second_person.wait_ns / NS_PER_HOUR),
            "rate_limits" => json!(self.rate_limits.to_string()),
            "name_limits" => json!(self.name_limits.to_string()),
            "allow_unauthenticated_plaintext_beyond_loopback" => {
                json!(if self.allow_unauthenticated_plaintext_beyond_loopback { "yes" } else { "no" })
            }
            "connections_max" => json!(self.bounds.connections_max),
            "connections_per_address_max" => json!(self.bounds.connections_per_address_max),
            "request_ms_max" => json!(self.bounds.request_ms_max),
            "answer_ms_max" => json!(self.bounds.answer_ms_max),
            "idle_ms_max" => json!(self.bounds.idle_ms_max),
            "workers" => json!(self.workers),
            "queue_depth" => json!(self.queue_depth),
            "shard_count" => json!(self.shard_count),
            "clock" => json!(self.clock.map(|clock| clock.to_string())),
            "ids_memory_max" => json!(self.ids.memory_ids_max),
            "ids_segment" => json!(self.ids.segment_ids),
            "snapshot_records" => json!(self.housekeeping.snapshot_records),
            "snapshot_interval_ms" => json!(self.housekeeping.snapshot_interval_ms),
            "backup_root" => self.backup_root.as_deref().map_or(Value::Null, path),
            "log_format" => match self.log_format {
                LogFormat::Text => json!("text"),
                LogFormat::Json => json!("json"),
            },
            "log" => json!(self.log),
            "trace_endpoint" => json!(self.trace_endpoint),
            "trace_sample_ppm" => json!(self.trace_sample_ppm),
            // Scripted failures are for tests, and said only to be there.
            _ => Value::Null,
        }
    }
}
