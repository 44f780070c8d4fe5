//! stub replaced on merge
use super::program::*;
use super::types::Units;
pub fn basket_units(program: &Program, lines: impl Iterator<Item = (LineClass, i64)>) -> Units {
    let mut sum = 0i128;
    for (class, amount) in lines {
        sum += i128::from(amount) * i128::from(program.lines.multiplier_bps(class)) * i128::from(program.earn.units);
    }
    program.earn.rounding.divide(sum, i128::from(program.earn.per_minor) * i128::from(BPS_ONE))
}
