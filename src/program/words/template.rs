//! A sentence with places in braces: `{points} for you`. Two braces stand for one.
//!
//! What must stay true: a template that was parsed has no place but those that its sentence has.

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::program) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(&'static str),
}

/// Why a text is no template. `Display` completes "the text …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::program) enum TemplateError {
    /// A brace without its fellow.
    #[error("has a brace that is not closed or not opened; two braces, `{{{{` or `}}}}`, stand for one")]
    LoneBrace,
    /// A place that the sentence does not have.
    #[error("has a place `{{{0}}}` that there is not")]
    UnknownPlace(String),
}

impl Template {
    /// Reads a text that may have these places.
    pub(in crate::program) fn parse(text: &str, places: &'static [&'static str]) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, found) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = found.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = found.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inner = found.strip_prefix('{').ok_or(TemplateError::LoneBrace)?;
                let (name, after) = inner.split_once('}').ok_or(TemplateError::LoneBrace)?;
                let place = places.iter().find(|place| **place == name);
                let place = place.ok_or_else(|| TemplateError::UnknownPlace(name.to_owned()))?;
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Place(place));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text with its places filled.
    pub(in crate::program) fn fill<'v>(&self, value: impl Fn(&str) -> &'v str) -> String {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Place(place) => text.push_str(value(place)),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_and_others_refused() {
        let unknown = |name: &str| Err(TemplateError::UnknownPlace(name.to_owned()));
        let rows = [
            ("", Ok("".to_owned())),
            ("plain", Ok("plain".to_owned())),
            ("{points} for {rule}", Ok("<points> for <rule>".to_owned())),
            ("{{points}} {points}{points}", Ok("{points} <points><points>".to_owned())),
            ("{points", Err(TemplateError::LoneBrace)),
            ("points}", Err(TemplateError::LoneBrace)),
            ("{ points }", unknown(" points ")),
            ("{}", unknown("")),
            ("{level}", unknown("level")),
        ];
        for (text, expected) in rows {
            let value = |place: &str| if place == "points" { "<points>" } else { "<rule>" };
            let filled = Template::parse(text, &["points", "rule"]).map(|template| template.fill(value));
            assert_eq!(filled, expected, "{text}");
        }
    }
}
