//! Accounts as a table: gathered in any order, sorted, and written as CSV or JSON.
//!
//! What must stay true: the columns of the CSV and their order are a contract that programs read; rows stand in the
//! natural order of their ids, so that two exports of the same history are the same bytes.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::audit::natural;
use crate::service::wire::{AccountRow, AccountTotals};

/// What one account has in one wallet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Figures {
    granted: i64,
    reversed: i64,
    redeemed: i64,
    expired: i64,
    balance: i64,
    clipped: i64,
    pending: i64,
    available: i64,
    set_aside: i64,
    owed: i64,
}

/// What the CSV tells of every wallet when asked: the ends of the columns' names, and their figures.
type Told = (&'static str, fn(&Figures) -> i64);

const OF_EVERY_WALLET: [Told; 5] = [
    ("balance", |figures| figures.balance),
    ("pending", |figures| figures.pending),
    ("available", |figures| figures.available),
    ("set_aside", |figures| figures.set_aside),
    ("owed", |figures| figures.owed),
];

/// One account. Wallets and metrics stand in the order of the table's names.
#[derive(Clone, Debug)]
struct Row {
    account_id: Box<str>,
    wallets: Vec<Figures>,
    totals: AccountTotals,
    metrics: Vec<i64>,
}

/// What the rows are true of.
#[derive(Clone, Debug, Default)]
pub struct Header {
    /// The instant, in RFC 3339 form.
    pub as_of_time: Option<String>,
    /// The position of the last record included.
    pub position: Option<i64>,
    /// The version of the programme in force then; 0 if none was.
    pub program_version: i32,
}

/// The accounts of an export.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What the rows are true of.
    pub header: Header,
    wallet_names: Vec<String>,
    metric_names: Vec<String>,
    rows: Vec<Row>,
}

/// The place of a name in a list, to which it is added if need be.
fn place_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

/// Sets the element at `place`, making room for it.
fn set<T: Clone + Default>(list: &mut Vec<T>, place: usize, value: T) {
    if list.len() <= place {
        list.resize(place + 1, T::default());
    }
    if let Some(element) = list.get_mut(place) {
        *element = value;
    }
}

impl Table {
    /// Takes an account.
    pub fn push(&mut self, row: &AccountRow) {
        let (mut wallets, mut metrics) = (Vec::new(), Vec::new());
        for wallet in &row.wallets {
            let figures = Figures {
                granted: wallet.granted_points,
                reversed: wallet.reversed_points,
                redeemed: wallet.redeemed_points,
                expired: wallet.expired_points,
                balance: wallet.balance_points,
                clipped: wallet.clipped_points,
                pending: wallet.pending_points,
                available: wallet.available_points,
                set_aside: wallet.set_aside_points,
                owed: wallet.owed_points,
            };
            set(&mut wallets, place_of(&mut self.wallet_names, &wallet.wallet), figures);
        }
        for metric in &row.metrics {
            set(&mut metrics, place_of(&mut self.metric_names, &metric.name), metric.value);
        }
        let totals = row.totals.unwrap_or_default();
        self.rows.push(Row { account_id: row.account_id.as_str().into(), wallets, totals, metrics });
    }

    /// Leaves out accounts that were only enrolled: those that brought no basket, asked for no redemption, and whose
    /// points never moved.
    pub fn keep_those_with_transactions(&mut self) {
        self.rows.retain(|row| {
            let AccountTotals { basket_count, reversal_count, refused_redemption_count, .. } = row.totals;
            let has_counts = [basket_count, reversal_count, refused_redemption_count].iter().any(|count| *count > 0);
            has_counts || row.wallets.iter().any(|figures| *figures != Figures::default())
        });
    }

    /// Sorts the rows; to be called once all are there.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| natural::compare(&a.account_id, &b.account_id));
    }

    /// Accounts taken.
    #[must_use]
    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Writes CSV: the first wallet's figures, where earned is granted less reversed, and one column a metric; then, if they
    /// are asked for, the columns of every wallet, which have a dot that no metric has.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_csv(&self, to: &mut dyn Write, account_column: &str, has_all_wallets: bool) -> io::Result<()> {
        let mut csv = csv::Writer::from_writer(to);
        let columns = [
            "baskets",
            "earned",
            "redeemed",
            "expired",
            "balance",
            "clipped",
            "refused_baskets",
            "refused_redemptions",
        ];
        let told = if has_all_wallets { &OF_EVERY_WALLET[..] } else { &[] };
        let names = self.metric_names.iter().map(String::as_str);
        let of_wallets: Vec<String> = self
            .wallet_names
            .iter()
            .flat_map(|wallet| told.iter().map(move |(column, _)| format!("{wallet}.{column}")))
            .collect();
        let names = names.chain(of_wallets.iter().map(String::as_str));
        csv.write_record(std::iter::once(account_column).chain(columns).chain(names))?;
        for row in &self.rows {
            let wallet = row.wallets.first().copied().unwrap_or_default();
            let figures = [
                row.totals.basket_count,
                wallet.granted.saturating_sub(wallet.reversed),
                wallet.redeemed,
                wallet.expired,
                wallet.balance,
                wallet.clipped,
                row.totals.refused_basket_count,
                row.totals.refused_redemption_count,
            ];
            csv.write_field(&*row.account_id)?;
            let wallets = (0..self.wallet_names.len()).map(|place| row.wallets.get(place).copied().unwrap_or_default());
            let of_wallets = wallets.flat_map(|wallet| told.iter().map(move |(_, figure)| figure(&wallet)));
            for figure in figures.into_iter().chain(self.metrics(row)).chain(of_wallets) {
                csv.write_field(figure.to_string())?;
            }
            csv.write_record(None::<&[u8]>)?;
        }
        csv.flush()
    }

    /// A row's metrics, 0 for those that it does not have.
    fn metrics(&self, row: &Row) -> impl Iterator<Item = i64> {
        (0..self.metric_names.len()).map(|place| row.metrics.get(place).copied().unwrap_or(0))
    }

    /// Writes one JSON object with all wallets, one account a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_json(&self, to: &mut dyn Write, account_column: &str) -> io::Result<()> {
        let Header { as_of_time, position, program_version } = &self.header;
        write!(
            to,
            "{{\"as_of_time\":{},\"position\":{},\"program_version\":{program_version},\"accounts\":[",
            json!(as_of_time),
            json!(position)
        )?;
        for (index, row) in self.rows.iter().enumerate() {
            to.write_all(if index == 0 { b"\n" } else { b",\n" })?;
            serde_json::to_writer(&mut *to, &self.row_as_json(row, account_column))?;
        }
        to.write_all(b"\n]}\n")
    }

    fn row_as_json(&self, row: &Row, account_column: &str) -> Value {
        let wallets = self.wallet_names.iter().zip(&row.wallets).map(|(name, figures)| {
            json!({
                "wallet": name,
                "granted": figures.granted,
                "reversed": figures.reversed,
                "redeemed": figures.redeemed,
                "expired": figures.expired,
                "balance": figures.balance,
                "clipped": figures.clipped,
                "pending": figures.pending,
                "available": figures.available,
                "set_aside": figures.set_aside,
                "owed": figures.owed,
            })
        });
        let metrics: Map<String, Value> =
            self.metric_names.iter().cloned().zip(self.metrics(row).map(Value::from)).collect();
        let mut object = Map::new();
        object.insert(account_column.to_owned(), (*row.account_id).into());
        object.insert("baskets".to_owned(), row.totals.basket_count.into());
        object.insert("refused_baskets".to_owned(), row.totals.refused_basket_count.into());
        object.insert("reversals".to_owned(), row.totals.reversal_count.into());
        object.insert("refused_redemptions".to_owned(), row.totals.refused_redemption_count.into());
        object.insert("wallets".to_owned(), wallets.collect());
        object.insert("metrics".to_owned(), metrics.into());
        object.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::wire::{CounterState, WalletBalance};

    fn row(account_id: &str, granted: i64, metric: Option<i64>) -> AccountRow {
        let wallet = WalletBalance {
            wallet: "points".to_owned(),
            balance_points: granted - 2,
            granted_points: granted,
            reversed_points: 2,
            clipped_points: 7,
            ..WalletBalance::default()
        };
        let counter = |value| CounterState { name: "spent".to_owned(), value, ..CounterState::default() };
        AccountRow {
            account_id: account_id.to_owned(),
            wallets: vec![wallet],
            totals: Some(AccountTotals { basket_count: 3, refused_basket_count: 1, ..AccountTotals::default() }),
            metrics: metric.into_iter().map(counter).collect(),
        }
    }

    fn table() -> Table {
        let mut table = Table::default();
        for row in [row("10", 5, Some(40)), row("9", 6, None), row("a,b", 7, Some(1))] {
            table.push(&row);
        }
        table.sort();
        table
    }

    #[test]
    fn the_csv_is_sorted_and_quoted() {
        let mut bytes = Vec::new();
        table().write_csv(&mut bytes, "household_id", false).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "household_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions,spent\n\
             9,3,4,0,0,4,7,1,0,0\n\
             10,3,3,0,0,3,7,1,0,40\n\
             \"a,b\",3,5,0,0,5,7,1,0,1\n"
        );
    }

    #[test]
    fn every_wallet_has_its_columns_behind_the_metrics() {
        let mut table = table();
        let wallet = |name: &str, balance_points| WalletBalance {
            wallet: name.to_owned(),
            balance_points,
            pending_points: 1,
            available_points: balance_points - 4,
            set_aside_points: 3,
            owed_points: 5,
            ..WalletBalance::default()
        };
        let wallets = vec![wallet("points", 20), wallet("card", 1_000)];
        table.push(&AccountRow { account_id: "11".to_owned(), wallets, ..AccountRow::default() });
        table.sort();
        let mut bytes = Vec::new();
        table.write_csv(&mut bytes, "account_id", true).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "account_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions,spent,\
             points.balance,points.pending,points.available,points.set_aside,points.owed,\
             card.balance,card.pending,card.available,card.set_aside,card.owed\n\
             9,3,4,0,0,4,7,1,0,0,4,0,0,0,0,0,0,0,0,0\n\
             10,3,3,0,0,3,7,1,0,40,3,0,0,0,0,0,0,0,0,0\n\
             11,0,0,0,0,20,0,0,0,0,20,1,16,3,5,1000,1,996,3,5\n\
             \"a,b\",3,5,0,0,5,7,1,0,1,5,0,0,0,0,0,0,0,0,0\n"
        );
    }

    #[test]
    fn accounts_that_were_only_enrolled_can_be_left_out() {
        let mut table = table();
        let refused = AccountTotals { refused_redemption_count: 1, ..AccountTotals::default() };
        let loaded = WalletBalance { granted_points: 7, balance_points: 7, ..WalletBalance::default() };
        let rows = [
            AccountRow { account_id: "enrolled".to_owned(), totals: Some(AccountTotals::default()), ..<_>::default() },
            AccountRow { account_id: "refused".to_owned(), totals: Some(refused), ..AccountRow::default() },
            AccountRow { account_id: "loaded".to_owned(), wallets: vec![loaded], ..AccountRow::default() },
        ];
        rows.iter().for_each(|row| table.push(row));
        table.keep_those_with_transactions();
        table.sort();
        let ids: Vec<&str> = table.rows.iter().map(|row| &*row.account_id).collect();
        assert_eq!(ids, ["9", "10", "a,b", "loaded", "refused"]);
    }

    #[test]
    fn an_export_of_nothing_has_a_header() {
        let mut bytes = Vec::new();
        Table::default().write_csv(&mut bytes, "account_id", true).unwrap();
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "account_id,baskets,earned,redeemed,expired,balance,clipped,refused_baskets,refused_redemptions\n"
        );
    }

    #[test]
    fn the_json_is_one_object() {
        let mut bytes = Vec::new();
        table().write_json(&mut bytes, "account_id").unwrap();
        let object: Value = serde_json::from_slice(&bytes).unwrap();
        let accounts = object["accounts"].as_array().unwrap();
        assert_eq!(accounts.len(), 3);
        assert_eq!(accounts[0]["account_id"], "9");
        assert_eq!(accounts[1]["metrics"]["spent"], 40);
        assert_eq!(accounts[1]["wallets"][0]["balance"], 3);
    }
}
