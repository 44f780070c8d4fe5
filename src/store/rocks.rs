//! The store on disk: RocksDB, one column family per space. The only file that names `rocksdb`.
//!
//! What must stay true:
//! - every RocksDB option that anything here relies on is set here, with the reason, whatever its default is;
//! - a synced batch is in the log and the log is synced before `write` returns; a deferred one is not in the log;
//! - damage is reported, never skipped: the log may end in an incomplete record, nothing else;
//! - a database without its mark, a mark without its database, or tables without either refuse to open.
//!
//! What opening and reading detect by themselves: any changed byte of a table (checksums), a missing or shortened
//! table, a changed byte in the body of a log record, a missing or shortened log that is not the last, a missing
//! manifest. What looks like a write that a crash cut short, and is therefore left to the mark and to the journal's own
//! chain: the loss of the end of the last log, a damaged length within its last 32 KiB, and a stretch of zeros.
//! If a loss of power leaves the very last record with holes instead of cut short, opening refuses although nothing
//! acknowledged is lost: the two cannot be told apart here, and refusing is the safe mistake.
//!
//! A space that the journal can give again is emptied by dropping its column family and making it anew: what is deleted key by
//! key stays in its tables until they are merged, and merging reads them. Merging one that is damaged stops the whole database.
//! Dropping and making are one step each; a crash between them is made good by the next opening.
//!
//! RocksDB may try by itself to go on after a full disk. That is of no consequence: `CheckedStore` has latched by then,
//! the failed batch is in none of the memory tables, and the process leaves.
//!
//! Layout of a data directory: `lock`, `high-water` (the mark) and `rocks/` (the database).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, BoundColumnFamily, Cache, ChecksumType, ColumnFamilyDescriptor, DBCompactionStyle,
    DBCompressionType, DBRecoveryMode, DBWithThreadMode, ErrorKind, FlushOptions, LogLevel, MultiThreaded, Options,
    ReadOptions, WriteBatch, WriteOptions, properties,
};

use super::direct::takes_direct_writes;
use super::directory::{DataDirectory, create_directory, sync_directory};
use super::mark::MarkFile;
use super::{Batch, Direction, Durability, Op, Space, Store, StoreError, Visit};

/// Name of the database's directory in the data directory.
const DATABASE_DIRECTORY: &str = "rocks";
/// Name of the mark's file in the data directory.
const MARK_FILE: &str = "high-water";
/// The file by which RocksDB itself recognises a database.
const CURRENT_FILE: &str = "CURRENT";

/// What a sweep reads at a time.
const SWEEP_READAHEAD_BYTES: usize = 2 << 20;

/// Memory tables of one space: the one written to and those being written out.
const MEMTABLES_MAX: i32 = 4;

/// The database. A space can be dropped and made anew while others hold it.
type Database = DBWithThreadMode<MultiThreaded>;

/// What a deployment may want to change. Everything else about RocksDB is fixed below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Memory for blocks of tables, their indexes and filters.
    pub block_cache_bytes: usize,
    /// Size at which the journal's memory table is written out; also the size of its tables. At most four memory tables
    /// exist at a time, and logs are kept within four times this size.
    pub journal_memtable_bytes: usize,
    /// The same for the snapshot's state and, by themselves, for the ids; logs do not depend on it.
    pub bulk_memtable_bytes: usize,
    /// Tables held open at a time.
    pub open_files_max: i32,
    /// Threads that write out memory tables and merge tables.
    pub background_jobs_max: i32,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            block_cache_bytes: 64 << 20,
            journal_memtable_bytes: 64 << 20,
            bulk_memtable_bytes: 32 << 20,
            open_files_max: 512,
            background_jobs_max: 2,
        }
    }
}

/// The store on disk. Dropping it writes out what was deferred, closes the database and frees the data directory.
pub struct RocksStore {
    // Dropped in this order: the directory must be held until the database is closed.
    database: Database,
    mark: MarkFile,
    directory: DataDirectory,
    making: Making,
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl RocksStore {
    /// Opens the store in a data directory; makes both if they are missing. Replays and writes out what the log holds.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process holds it, [`StoreError::ReadOnly`] and [`StoreError::DiskFull`] when
    /// it cannot be written, [`StoreError::Damaged`] when a part is missing or not what was written.
    pub fn open(path: &Path, options: &RocksOptions) -> Result<Self, StoreError> {
        Self::open_to_empty(path, options, &[])
    }

    /// Opens the store, of which some spaces are about to be emptied (see [`Store::empty`]) because of damage in them. Until
    /// they are, none of their tables is merged; and where a table of theirs keeps the database from opening at all, they are
    /// emptied here, if everything else is as it should be.
    ///
    /// # Errors
    /// As [`RocksStore::open`].
    ///
    /// # Panics
    /// When one of the spaces is none of [`Space::DERIVED`].
    pub fn open_to_empty(path: &Path, options: &RocksOptions, spaces: &[Space]) -> Result<Self, StoreError> {
        assert!(spaces.iter().all(|space| space.is_derived()), "the journal cannot give {spaces:?} again");
        let directory = DataDirectory::claim(path)?;
        let mark_path = path.join(MARK_FILE);
        let database_path = path.join(DATABASE_DIRECTORY);
        let has_database = exists(&database_path.join(CURRENT_FILE))?;
        // A making that was cut short has no tables yet.
        if !has_database && has_tables(&database_path)? {
            return Err(damaged(path, "there are tables in rocks/ but no CURRENT, which makes a database of them"));
        }
        if !exists(&mark_path)? {
            // The mark's file is made first, so that a database without one has lost it, or was never copied whole.
            if has_database {
                let reason = "the file of the high-water mark is missing: it was lost, or a restore was cut short here";
                return Err(damaged(path, reason));
            }
            MarkFile::create(&mark_path, None)?;
        }
        let mark = MarkFile::open(&mark_path)?;
        // Only a store that was opened once can have been given a mark. Before, its making may have been cut short.
        let may_create = mark.read()?.is_none();
        if !may_create && !has_database {
            return Err(damaged(path, "there is a high-water mark but no database"));
        }
        let making = Making::new(path, options);
        let database = match making.open(may_create, spaces) {
            Err(error) if error.damage().is_some() && !spaces.is_empty() => {
                making.drop_spaces(spaces).and_then(|()| making.open(may_create, &[]))
            }
            opened => opened,
        };
        let database = database.map_err(|error| making.locate(error))?;
        Ok(Self { database, mark, directory, making })
    }

    /// Makes a copy of the store in a directory of its own, which must not exist and lie on the same file system to be
    /// cheap (tables are linked, not copied). The copy holds everything written before the call, deferred or not, may
    /// hold some of what is written during it, and its mark is the one from before. It opens as a store.
    ///
    /// # Errors
    /// When the directory exists or anything cannot be written. What is left then refuses to open: the mark comes last.
    pub fn checkpoint(&self, to: &Path) -> Result<(), StoreError> {
        let mark = self.mark.read()?;
        self.checkpoint_with_mark(to, mark.as_deref())
    }

    /// The same, with a mark of the caller's, which must be true of everything written before the call.
    ///
    /// Memory tables are written out first, or the copy would lack what was written without the log, and would take
    /// logs with it that its opening has to replay. Commits go on meanwhile: they only share the disk.
    ///
    /// # Errors
    /// As [`RocksStore::checkpoint`].
    pub fn checkpoint_with_mark(&self, to: &Path, mark: Option<&[u8]>) -> Result<(), StoreError> {
        if exists(to)? {
            let reason = "the directory for the copy already exists".to_owned();
            return Err(StoreError::Io { path: to.to_path_buf(), operation: "a checkpoint", reason });
        }
        create_directory(to)?;
        Checkpoint::new(&self.database)
            .and_then(|checkpoint| checkpoint.create_checkpoint(to.join(DATABASE_DIRECTORY)))
            .map_err(|error| translate(to, "a checkpoint", &error))?;
        sync_directory(to)?;
        MarkFile::create(&to.join(MARK_FILE), mark)
    }

    /// About how much the journal holds, in bytes, in tables and in memory.
    ///
    /// # Errors
    /// When RocksDB cannot tell.
    pub fn approximate_journal_bytes(&self) -> Result<u64, StoreError> {
        let family = self.family(Space::Journal)?;
        let mut sum = 0;
        for property in [properties::LIVE_SST_FILES_SIZE, properties::CUR_SIZE_ALL_MEM_TABLES] {
            let value = self
                .database
                .property_int_value_cf(&family, property)
                .map_err(|error| self.failed("the reading of a property", &error))?;
            sum += value.unwrap_or(0);
        }
        Ok(sum)
    }

    /// The data directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn visit_rows(
        &self,
        space: Space,
        options: ReadOptions,
        from: &[u8],
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let family = self.family(space)?;
        let mut rows = self.database.raw_iterator_cf_opt(&family, options);
        match direction {
            Direction::Forward => rows.seek(from),
            Direction::Backward => rows.seek_for_prev(from),
        }
        while let Some((key, value)) = rows.item() {
            if visit(key, value).is_break() {
                return Ok(());
            }
            match direction {
                Direction::Forward => rows.next(),
                Direction::Backward => rows.prev(),
            }
        }
        // The end of a scan looks the same as damage until asked.
        rows.status().map_err(|error| translate(self.path(), "a scan", &error).in_space(space))
    }

    /// The column family of a space. There always is one, unless emptying the space has failed between its two halves.
    fn family(&self, space: Space) -> Result<Arc<BoundColumnFamily<'_>>, StoreError> {
        let family = self.database.cf_handle(space.name());
        family.ok_or_else(|| damaged(self.path(), "the space was dropped, and not made anew").in_space(space))
    }

    /// What failed may be the merging of any space's tables, of which the next call is told.
    fn failed(&self, operation: &'static str, error: &rocksdb::Error) -> StoreError {
        let failure = translate(self.path(), operation, error);
        match self.space_of_table_in(error.as_ref()) {
            Some(space) => failure.in_space(space),
            None => failure,
        }
    }

    /// The space that a table is of which a message names.
    fn space_of_table_in(&self, message: &str) -> Option<Space> {
        let tables = self.database.live_files().ok()?;
        let named = tables.into_iter().find(|table| message.contains(&table.name))?;
        Space::ALL.into_iter().find(|space| space.name() == named.column_family_name)
    }
}

impl Store for RocksStore {
    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), StoreError> {
        let mut translated = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put { space, key, value } => translated.put_cf(&self.family(*space)?, key, value),
                Op::Delete { space, key } => translated.delete_cf(&self.family(*space)?, key),
                Op::DeleteRange { space, from, to } if from < to => {
                    translated.delete_range_cf(&self.family(*space)?, from, to);
                }
                // RocksDB would log a reversed range and then fail to apply it.
                Op::DeleteRange { .. } => {}
            }
        }
        self.database.write_opt(translated, &write_options(durability)).map_err(|error| self.failed("a write", &error))
    }

    fn flush(&self, space: Space) -> Result<(), StoreError> {
        let mut options = FlushOptions::default();
        // Returning before the table is synced would promise what is not so.
        options.set_wait(true);
        self.database.flush_cf_opt(&self.family(space)?, &options).map_err(|error| self.failed("a flush", &error))
    }

    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.database
            .get_cf_opt(&self.family(space)?, key, &read_options())
            .map_err(|error| translate(self.path(), "a read", &error).in_space(space))
    }

    fn scan(&self, space: Space, from: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.visit_rows(space, read_options(), from, direction, visit)
    }

    fn sweep(&self, space: Space, from: &[u8], to: Option<&[u8]>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let mut options = read_options();
        options.set_readahead_size(SWEEP_READAHEAD_BYTES);
        // What is read once would displace what is looked up again and again.
        options.fill_cache(false);
        if let Some(to) = to {
            options.set_iterate_upper_bound(to);
        }
        self.visit_rows(space, options, from, Direction::Forward, visit)
    }

    fn empty(&self, space: Space) -> Result<(), StoreError> {
        assert!(space.is_derived(), "the journal cannot give {} again", space.name());
        self.database
            .drop_cf(space.name())
            .and_then(|()| self.making.make(&self.database, space))
            .map_err(|error| self.failed("the emptying of a space", &error))
    }

    fn write_mark(&self, mark: &[u8]) -> Result<(), StoreError> {
        self.mark.write(mark)
    }

    fn read_mark(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.mark.read()
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }
}

/// How the database is opened, and its spaces are made.
struct Making {
    /// The data directory.
    path: PathBuf,
    options: RocksOptions,
    cache: Cache,
}

impl Making {
    fn new(path: &Path, options: &RocksOptions) -> Self {
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        Self { path: path.to_path_buf(), options: *options, cache }
    }

    fn database_path(&self) -> PathBuf {
        self.path.join(DATABASE_DIRECTORY)
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        translate(&self.path, OPENING, error)
    }

    /// Opens the database with all of its spaces. Of some no table is merged.
    fn open(&self, may_create: bool, unmerged: &[Space]) -> Result<Database, StoreError> {
        let missing = if may_create { Vec::new() } else { self.missing()? };
        let families = self.families(&missing, unmerged);
        let database =
            Database::open_cf_descriptors(&self.database_options(may_create), self.database_path(), families)
                .map_err(|error| self.failed(&error))?;
        for space in missing {
            self.make(&database, space).map_err(|error| self.failed(&error))?;
        }
        Ok(database)
    }

    /// The derived spaces that a crash has left dropped, and not made anew.
    fn missing(&self) -> Result<Vec<Space>, StoreError> {
        let names =
            Database::list_cf(&Options::default(), self.database_path()).map_err(|error| self.failed(&error))?;
        let is_missing = |space: &Space| !names.iter().any(|name| name == space.name());
        Ok(Space::DERIVED.into_iter().filter(is_missing).collect())
    }

    /// Makes a space that is not there.
    fn make(&self, database: &Database, space: Space) -> Result<(), rocksdb::Error> {
        database.create_cf(space.name(), &family_options(space, &self.options, &self.cache))
    }

    /// Opens everything but some spaces to read it, as strictly as ever, logs included. Nothing is changed.
    fn check_without(&self, spaces: &[Space]) -> Result<(), StoreError> {
        let left_out = [spaces, self.missing()?.as_slice()].concat();
        let families = self.families(&left_out, &[]);
        Database::open_cf_descriptors_read_only(&self.database_options(false), self.database_path(), families, false)
            .map(drop)
            .map_err(|error| self.failed(&error))
    }

    /// Drops spaces of which a table keeps the database from opening; the next opening makes them anew.
    fn drop_spaces(&self, spaces: &[Space]) -> Result<(), StoreError> {
        self.check_without(spaces)?;
        let missing = self.missing()?;
        let mut lenient = self.database_options(false);
        // Whatever is not looked at strictly now has just been, but for the spaces that go.
        lenient.set_paranoid_checks(false);
        let families = self.families(&missing, &Space::ALL);
        let database = Database::open_cf_descriptors(&lenient, self.database_path(), families)
            .map_err(|error| self.failed(&error))?;
        for space in spaces.iter().filter(|space| !missing.contains(space)) {
            database.drop_cf(space.name()).map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Says of damage that keeps the database from opening in which space it lies, if it opens without that one.
    fn locate(&self, error: StoreError) -> StoreError {
        if error.damage().is_none() {
            return error;
        }
        match Space::DERIVED.into_iter().find(|space| self.check_without(&[*space]).is_ok()) {
            Some(space) => error.in_space(space),
            None => error,
        }
    }

    /// The column families of all spaces but some, and the one that RocksDB insists on.
    fn families(&self, left_out: &[Space], unmerged: &[Space]) -> Vec<ColumnFamilyDescriptor> {
        let mut families: Vec<ColumnFamilyDescriptor> = Space::ALL
            .into_iter()
            .filter(|space| !left_out.contains(space))
            .map(|space| {
                let mut family = family_options(space, &self.options, &self.cache);
                family.set_disable_auto_compactions(unmerged.contains(&space));
                ColumnFamilyDescriptor::new(space.name(), family)
            })
            .collect();
        // Nothing is ever written to it, so the options of the smallest space will do.
        let default = family_options(Space::Meta, &self.options, &self.cache);
        families.push(ColumnFamilyDescriptor::new("default", default));
        families
    }

    fn database_options(&self, may_create: bool) -> Options {
        let mut database = database_options(&self.options, may_create);
        // What is written out is seldom read soon: in the page cache it would take memory and be copied once more, which
        // costs more than all else about writing out.
        let own = self.database_path();
        // The database may lie on a file system of its own. Where it is about to be made it lies on that of the data
        // directory.
        let probed = if own.is_dir() { &own } else { &self.path };
        database.set_use_direct_io_for_flush_and_compaction(takes_direct_writes(probed));
        database
    }
}

/// Options of the database as a whole.
fn database_options(options: &RocksOptions, may_create: bool) -> Options {
    let mut database = Options::default();
    // A database that is expected and missing, in whole or in part, is damage and not a reason to begin anew.
    database.create_if_missing(may_create);
    database.create_missing_column_families(may_create);
    set_integrity(&mut database);
    set_log(&mut database, options);

    // Bounds on files and threads.
    database.set_max_open_files(options.open_files_max);
    database.set_max_background_jobs(options.background_jobs_max);
    // A long journal has thousands of tables; opening must not read something of each.
    database.set_skip_stats_update_on_db_open(true);
    // The manifest is rewritten before replaying it becomes slow.
    database.set_max_manifest_file_size(16 << 20);
    // RocksDB's own log file: warnings only, four files of a mebibyte at most, no periodic dumps of statistics.
    database.set_log_level(LogLevel::Warn);
    database.set_max_log_file_size(1 << 20);
    database.set_keep_log_file_num(4);
    database.set_log_file_time_to_roll(0);
    database.set_stats_dump_period_sec(0);
    database.set_stats_persist_period_sec(0);
    database
}

/// Options on which the detection of damage and the order of writes rest.
fn set_integrity(database: &mut Options) {
    // Stop at the first sign of damage instead of serving the rest.
    database.set_paranoid_checks(true);
    // An incomplete record at the end of a log is what a crash leaves. The default would take any damage for the end
    // of the log and silently drop what follows it.
    database.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // Remembers the sizes of earlier logs, so that one that is missing or shortened is noticed.
    database.set_track_and_verify_wals_in_manifest(true);
    // Reusing log files would leave old records behind the end, where the recovery mode expects none.
    database.set_recycle_log_file_num(0);
    // Each write reaches the operating system before it returns; nothing waits in a buffer of the process.
    database.set_manual_wal_flush(false);
    // Readers must see batches whole and in order.
    database.set_unordered_write(false);
    database.set_enable_pipelined_write(false);
    // Spaces are written out each for itself; the contract allows them to drift apart.
    database.set_atomic_flush(false);
    // Writing through memory maps would report failures as signals.
    database.set_allow_mmap_writes(false);
}

/// Options of the log and of how files are synced.
fn set_log(database: &mut Options, options: &RocksOptions) {
    // Data and size are all that a log or table needs on disk; its other metadata can wait.
    database.set_use_fsync(false);
    // A log can go once every space that has logged data in it has written it out. The journal does so by its size; a
    // small space such as Meta would hold on to all logs. Beyond this bound RocksDB writes out whoever holds the oldest
    // log. Spaces written without log are written out with them, which the contract allows.
    // Smaller than what the journal's memory tables may hold, it would write them out before they are full.
    let logs_bytes_max = MEMTABLES_MAX as u64 * options.journal_memtable_bytes as u64;
    database.set_max_total_wal_size(logs_bytes_max);
    // Logs are deleted when they are no longer needed, not archived.
    database.set_wal_ttl_seconds(0);
    database.set_wal_size_limit_mb(0);
    // Journal frames hardly compress, and the engine is built without compression libraries.
    database.set_wal_compression_type(DBCompressionType::None);
    // Tables are handed to the disk as they are written: a large burst at their end would delay the log's syncs.
    database.set_bytes_per_sync(1 << 20);
    // The log is synced by every commit, so spreading it out has no use.
    database.set_wal_bytes_per_sync(0);
    database.set_compaction_readahead_size(2 << 20);
}

/// Options of one space.
fn family_options(space: Space, options: &RocksOptions, cache: &Cache) -> Options {
    let mut family = Options::default();
    // Leveled, for all: keys of the journal and of the sorted runs only ever grow, so their tables never overlap and
    // are moved down by changing the manifest, not by rewriting. With the log that makes every byte written twice.
    family.set_compaction_style(DBCompactionStyle::Level);
    family.set_level_compaction_dynamic_level_bytes(true);
    // Equal on all levels: a move must not change how a table is compressed.
    family.set_compression_type(DBCompressionType::None);
    family.set_bottommost_compression_type(DBCompressionType::None);
    // The defaults rewrite every table once a month.
    family.set_periodic_compaction_seconds(0);
    family.set_ttl(0);
    // Values are kept in tables: blob files would save nothing where tables are only moved.
    family.set_enable_blob_files(false);
    family.set_level_zero_file_num_compaction_trigger(4);
    family.set_block_based_table_factory(&table_options(space, cache));
    let memtable_bytes = match space {
        Space::Meta => 1 << 20,
        Space::Journal => options.journal_memtable_bytes,
        Space::State | Space::Ids => options.bulk_memtable_bytes,
    };
    family.set_write_buffer_size(memtable_bytes);
    family.set_min_write_buffer_number_to_merge(1);
    family.set_target_file_size_base(memtable_bytes as u64);
    family.set_max_bytes_for_level_base(4 * memtable_bytes as u64);
    // When one space stalls, RocksDB stalls the writes to all. So none may do so because of merging, which costs reads
    // a little when it falls behind; only full memory tables, that is a disk that cannot keep up, hold writes back.
    family.set_max_write_buffer_number(MEMTABLES_MAX);
    family.set_level_zero_slowdown_writes_trigger(256);
    family.set_level_zero_stop_writes_trigger(512);
    family.set_soft_pending_compaction_bytes_limit(0);
    family.set_hard_pending_compaction_bytes_limit(0);
    family
}

fn table_options(space: Space, cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    // Version 6 also covers a block's place in its file, so that a block written in the wrong place is noticed.
    table.set_format_version(6);
    table.set_checksum_type(ChecksumType::XXH3);
    // Indexes and filters count towards the cache's bound; those of new tables stay, they are asked on every lookup.
    table.set_block_cache(cache);
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    // Large blocks where frames and runs are read in order, small ones where single keys are looked up.
    table.set_block_size(match space {
        Space::Journal => 32 << 10,
        Space::Ids => 16 << 10,
        Space::Meta | Space::State => 4 << 10,
    });
    if matches!(space, Space::State | Space::Ids) {
        // About one lookup in a hundred for an absent key still reads a block.
        table.set_bloom_filter(10.0, false);
    }
    table
}

fn write_options(durability: Durability) -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(durability == Durability::Synced);
    options.disable_wal(durability == Durability::Deferred);
    // Waiting is right when memory tables are full: the committer's bounded queue passes the pressure on.
    options.set_no_slowdown(false);
    options
}

fn read_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}

/// The operation of looking for what there is before anything is opened.
const LOOKING: &str = "a look at the data directory";
/// The operation during which a refusal of the arguments means that the files are not what they should be.
const OPENING: &str = "the opening of the database";
/// What the operating system says of files that this user may not read or write, as RocksDB passes it on.
const DENIALS: [&str; 2] = [": Permission denied", ": Read-only file system"];

fn translate(path: &Path, operation: &'static str, error: &rocksdb::Error) -> StoreError {
    classify(path, operation, &error.kind(), error.as_ref())
}

/// Maps RocksDB's status to ours. The crate passes the status on as text, from which it derives the kind; the finer
/// distinctions exist only there. The phrases are fixed strings of RocksDB (`util/status.cc`, `env/fs_posix.cc`) and of
/// the operating system in the C locale; one that changes makes the error a plain [`StoreError::Io`], no less fatal.
fn classify(path: &Path, operation: &'static str, kind: &ErrorKind, text: &str) -> StoreError {
    let (path, reason) = (PathBuf::from(path), text.to_owned());
    // While it opens, RocksDB passes on what it may not read as a refusal of its arguments or as corruption.
    if operation == OPENING && DENIALS.iter().any(|denial| text.contains(denial)) {
        return StoreError::ReadOnly { path, reason };
    }
    match kind {
        ErrorKind::Corruption => damaged(&path, text),
        ErrorKind::InvalidArgument | ErrorKind::NotSupported if operation == OPENING => damaged(&path, text),
        ErrorKind::IOError => {
            let detail = text.strip_prefix("IO error: ").unwrap_or(text);
            if detail.starts_with("No space left on device") {
                StoreError::DiskFull { path }
            } else if detail.starts_with("No such file or directory") {
                damaged(&path, text)
            } else if detail.starts_with("lock hold by current process") || detail.starts_with("While lock file") {
                StoreError::Locked { path }
            } else if DENIALS.iter().any(|denial| text.ends_with(denial)) {
                StoreError::ReadOnly { path, reason }
            } else {
                StoreError::Io { path, operation, reason }
            }
        }
        _ => StoreError::Io { path, operation, reason },
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged { path: path.to_path_buf(), space: None, reason: reason.to_owned() }
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|error| StoreError::from_io(path, LOOKING, &error))
}

/// Whether there are tables in the directory of a database, which need not exist.
fn has_tables(path: &Path) -> Result<bool, StoreError> {
    if !exists(path)? {
        return Ok(false);
    }
    let failed = |error: io::Error| StoreError::from_io(path, LOOKING, &error);
    for entry in fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "sst") {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests;
