//! "Did you mean": the nearest of the words that would have been right.
//!
//! What must stay true: a suggestion is made only where it is near, so that it is worth reading.

/// Longest text that a suggestion is made for.
const WORD_BYTES_MAX: usize = 128;

/// The candidate nearest to the word in single-character edits, ignoring case, or `None` when all are far from it. Of
/// equally near ones the first counts.
#[must_use]
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    // A suggestion for a longer text helps nobody, and distances take time and room that grow with the square.
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let word = word.to_lowercase();
    // A third of the word may differ: enough for a slip or two, too little for another word.
    let distance_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(&word, &candidate.to_lowercase(), distance_max), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements of single characters, and swaps of neighbours, that turn one word into the
/// other (optimal string alignment). Where the lengths alone differ by more than `distance_max`, that difference.
fn edit_distance(left: &str, right: &str, distance_max: usize) -> usize {
    let [left, right] = [left, right].map(|word| word.chars().collect::<Vec<char>>());
    let length_difference = left.len().abs_diff(right.len());
    if length_difference > distance_max {
        return length_difference;
    }
    // distances[i][j] belongs to the first i characters of the one and the first j of the other word.
    let mut distances = vec![vec![0; right.len() + 1]; left.len() + 1];
    for i in 0..=left.len() {
        for j in 0..=right.len() {
            distances[i][j] = match (i, j) {
                (0, distance) | (distance, 0) => distance,
                _ => {
                    let (a, b) = (left[i - 1], right[j - 1]);
                    let replaced = distances[i - 1][j - 1] + usize::from(a != b);
                    let swapped = if i > 1 && j > 1 && a == right[j - 2] && left[i - 2] == b {
                        distances[i - 2][j - 2] + 1
                    } else {
                        usize::MAX
                    };
                    replaced.min(swapped).min(distances[i - 1][j] + 1).min(distances[i][j - 1] + 1)
                }
            };
        }
    }
    distances[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let rows = [
            ("", "", 0),
            ("points", "points", 0),
            ("pionts", "points", 1),
            ("abcd", "badc", 2),
            ("kitten", "sitting", 3),
        ];
        for (left, right, distance) in rows {
            assert_eq!(edit_distance(left, right, 10), distance, "{left} {right}");
            assert_eq!(edit_distance(right, left, 10), distance, "{right} {left}");
        }
        assert_eq!(edit_distance("", "abc", 10), 3);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let words = ["floor", "half-up", "half-even"];
        assert_eq!(nearest("Flor", words), Some("floor"));
        assert_eq!(nearest("lfoor", words), Some("floor"));
        assert_eq!(nearest("half-uo", words), Some("half-up"));
        assert_eq!(nearest("bankers", words), None);
        assert_eq!(nearest("", words), None);
        let long = "x".repeat(WORD_BYTES_MAX + 1);
        assert_eq!(nearest(&long, [long.as_str()]), None);
    }
}
