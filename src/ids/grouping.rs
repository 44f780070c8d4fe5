//! Many keys at once, grouped by the part of a table that they belong to: each part is then locked once, and the
//! searches within it overlap their waits for memory.
//!
//! What must stay true: every key appears once; within a group keys keep their order.

/// Groups of a list of keys. Reused: it keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Grouping {
    parts: Vec<u32>,
    starts: Vec<u32>,
    order: Vec<u32>,
}

impl Grouping {
    /// Groups keys by the number of their part, below `part_count`.
    pub(super) fn group(&mut self, part_count: usize, parts: impl Iterator<Item = usize>) {
        let number = |place: usize| u32::try_from(place).expect("a batch is bounded");
        self.parts.clear();
        self.parts.extend(parts.map(number));
        self.starts.clear();
        self.starts.resize(part_count + 1, 0);
        for part in &self.parts {
            self.starts[*part as usize + 1] += 1;
        }
        for part in 0..part_count {
            self.starts[part + 1] += self.starts[part];
        }
        self.order.clear();
        self.order.resize(self.parts.len(), 0);
        for (place, part) in self.parts.iter().enumerate() {
            let next = &mut self.starts[*part as usize];
            self.order[*next as usize] = number(place);
            *next += 1;
        }
        // Each start has moved to the next group's; the first begins at 0.
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }

    /// The parts that have keys, each with the places of its keys in the list.
    pub(super) fn groups(&self) -> impl Iterator<Item = (usize, &[u32])> {
        self.starts.windows(2).enumerate().filter_map(|(part, ends)| {
            let places = &self.order[ends[0] as usize..ends[1] as usize];
            (!places.is_empty()).then_some((part, places))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_grouped_in_their_order() {
        let mut grouping = Grouping::default();
        for _ in 0..2 {
            grouping.group(4, [3, 0, 3, 1, 0].into_iter());
            let groups: Vec<_> = grouping.groups().map(|(part, places)| (part, places.to_vec())).collect();
            assert_eq!(groups, [(0, vec![1, 4]), (1, vec![3]), (3, vec![0, 2])]);
        }
        grouping.group(4, std::iter::empty());
        assert_eq!(grouping.groups().count(), 0);
    }
}
