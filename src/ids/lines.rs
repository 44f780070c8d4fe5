//! What the filters of this room have in common: lines of 64 bytes, as long as those of the processor's cache. An id
//! has its bits in one of them, so that a question waits for memory once.
//!
//! What must stay true: line and bits follow from the halves of a key alone and never change, for filters are stored.

/// Bits of one line.
pub(super) const LINE_BITS: u64 = 512;
/// Lines that are cleared at a time: 16 MiB.
const PREPARE_LINES: usize = 1 << 18;

/// One line. The alignment makes sure that it is not spread over two of the cache's.
#[repr(align(64))]
#[derive(Clone, Copy, Default)]
pub(super) struct Line<W>(pub(super) [W; 8]);

/// Lines that take so many ids at so many bits each.
pub(super) fn lines_for(id_count: u64, bits_per_id: u64) -> usize {
    let line_count = (id_count * bits_per_id).div_ceil(LINE_BITS);
    usize::try_from(line_count).expect("a filter fits the address space")
}

/// Adds a bounded number of clear lines; true when there are as many as there must be.
pub(super) fn prepare_step<W: Default>(lines: &mut Vec<Line<W>>, line_count: usize) -> bool {
    let ready = line_count.min(lines.len() + PREPARE_LINES);
    lines.resize_with(ready, Line::default);
    ready == line_count
}

/// The line of a key: one half of it, scaled to the number of lines. None where there are no lines.
#[inline]
pub(super) fn line_of(half: u64, line_count: usize) -> Option<usize> {
    let scaled = (u128::from(half) * line_count as u128) >> 64;
    let index = usize::try_from(scaled).expect("scaled below the number of lines");
    (line_count != 0).then_some(index)
}

/// The bits of a key within its line: so many times nine bits of its other half.
#[inline]
pub(super) fn bits_of<const COUNT: u32>(half: u64) -> impl Iterator<Item = usize> {
    (0..COUNT).map(move |probe| ((half >> (9 * probe)) & (LINE_BITS - 1)) as usize)
}

/// True when all these bits of a line are set.
///
/// All are looked at, without a branch for each: which one fails is chance, that one does is the rule. So several
/// filters are read from memory at the same time.
#[inline]
pub(super) fn all_set(bits: impl Iterator<Item = usize>, word: impl Fn(usize) -> u64) -> bool {
    bits.fold(0, |missing, bit| missing | !word(bit >> 6) & (1 << (bit & 63))) == 0
}
