//! Every bound of the product in one place, with the relations between them checked at compile time.
//!
//! A limit that is reached gives a clear error, never memory growth (invariant 8). Names carry their unit; `_max` is
//! the largest value still allowed.

/// Lines in one basket. The longest real basket seen has 153.
pub const BASKET_LINES_MAX: usize = 1_024;
/// Commands in one batch call or one stream message.
pub const BATCH_COMMANDS_MAX: usize = 8_192;
/// Bytes of one gRPC message. A full batch of ordinary baskets fits.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Commands of one stream that may be undecided or unanswered at once; beyond it the stream is not read.
pub const STREAM_IN_FLIGHT_MAX: usize = 16_384;
/// Items, and places of sale, whose numbers a serving thread keeps at hand.
pub const NAME_CACHE_ENTRIES_MAX: usize = 65_536;
/// Lines that a job keeps room for once it is answered; a longer basket gives its memory back.
pub const JOB_LINES_KEPT_MAX: usize = 32;
/// Bytes of a prepared answer whose memory a job keeps.
pub const JOB_ANSWER_BYTES_KEPT_MAX: usize = 4_096;
/// Commands of a message that claim their ids together.
pub const CLAIM_WINDOW_COMMANDS: usize = 256;
/// Commands of a message that are read, or answered, before other calls of the thread have their turn. While others call,
/// that many claim their ids together: what one till waits for is a multiple of this.
pub const STREAM_TURN_COMMANDS: usize = 64;
/// Messages of one stream whose commands may be unanswered at once.
pub const STREAM_MESSAGES_IN_FLIGHT_MAX: usize = 1_024;
/// HTTP/2 streams on one connection.
pub const CONNECTION_STREAMS_MAX: u32 = 1_024;

/// Bytes of a caller's transaction id.
pub const TRANSACTION_ID_BYTES_MAX: usize = 64;
/// Bytes of an account id.
pub const ACCOUNT_ID_BYTES_MAX: usize = 64;
/// Bytes of a receipt number.
pub const RECEIPT_NUMBER_BYTES_MAX: usize = 64;
/// Bytes of any interned string: SKU, category, department, brand, store, terminal, cashier, partner.
pub const SYMBOL_BYTES_MAX: usize = 128;
/// Distinct interned strings of one data directory. A further new string is refused, known ones go on.
pub const SYMBOLS_MAX: u32 = 1 << 24;
/// Distinct combinations of SKU, category, department, brand and margin class.
pub const ITEMS_MAX: u32 = 1 << 24;

/// Largest amount of one line, in minor units of the currency.
pub const LINE_AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;
/// Largest quantity of one line.
pub const LINE_QUANTITY_MAX: i64 = 1_000_000_000;
/// Largest multiplier a rule may state, in basis points (10,000 is times one).
pub const MULTIPLIER_BPS_MAX: i64 = 10_000_000;
/// Largest `units` or `per_minor` of an earn rate.
pub const EARN_RATE_PART_MAX: i64 = 1_000_000;
/// Largest balance, budget, cap or counter, in units. Well inside i64, so that sums of two never overflow.
pub const UNITS_MAX: i64 = 1_000_000_000_000_000_000;

/// Rules, caps, metrics and budgets in one programme.
pub const PROGRAM_RULES_MAX: usize = 65_536;
/// Rules that can count for one line beside the one by which it earns.
pub const LINE_RULES_MAX: usize = 256;
/// Rules that count so for the lines of one basket: its record names each of them.
pub const STACKED_RULES_MAX: usize = BASKET_LINES_MAX * LINE_RULES_MAX;
/// Caps of one programme.
pub const PROGRAM_CAPS_MAX: usize = 64;
/// Metrics of one programme.
pub const PROGRAM_METRICS_MAX: usize = 16;
/// Budgets of one programme.
pub const PROGRAM_BUDGETS_MAX: usize = 64;
/// Rewards of a programme's catalogue.
pub const PROGRAM_REWARDS_MAX: usize = 512;
/// How many of a reward one redemption takes.
pub const REWARD_QUANTITY_MAX: i64 = 1_000_000;
/// Warning levels of one budget.
pub const BUDGET_WARNINGS_MAX: usize = 8;
/// Partners of one programme.
pub const PROGRAM_PARTNERS_MAX: usize = 1_024;
/// Stores of one partner.
pub const PARTNER_STORES_MAX: usize = 16_384;
/// Rights to earn, and to burn, of one partner.
pub const PARTNER_RIGHTS_MAX: usize = 64;
/// Largest rate that a partner pays or receives per unit, in basis points of a minor unit: a hundred thousand minor units.
pub const PARTNER_RATE_BPS_MAX: i64 = 1_000_000_000;
/// Bonuses of one programme.
pub const PROGRAM_BONUSES_MAX: usize = 1_024;
/// Stamp cards of a programme.
pub const PROGRAM_STAMPS_MAX: usize = 16;
/// Stamps that make a card full.
pub const STAMP_CARD_SIZE_MAX: i64 = 1_000;
/// Levels of a ladder. A set of them is a word of 64 bits, with one bit for accounts below the first.
pub const PROGRAM_TIERS_MAX: usize = 32;
/// Experiments of one programme.
pub const PROGRAM_EXPERIMENTS_MAX: usize = 16;
/// Windows that follow each other and are bounded together.
pub const ROLLING_WINDOWS_MAX: u16 = 60;
/// Windows that one decision looks at for such a cap: those before the present one, it, and those after it.
pub const ROLLING_AROUND_MAX: usize = 2 * ROLLING_WINDOWS_MAX as usize - 1;
/// Cells that the shared caps of one programme have one command look into.
pub const PROGRAM_CELLS_MAX: usize = 1_024;
/// Days that granted units can live at most: a hundred years.
pub const EXPIRY_DAYS_MAX: i64 = 36_525;
/// Lots that one record changes; a redemption that would need more is refused.
pub const LOT_CHANGES_MAX: usize = 4_096;
/// Dead lots whose expiry one record posts; the rest is left for the next.
pub const EXPIRED_LOTS_POSTED_MAX: usize = 64;
/// Lots of an opening balance in one command.
pub const LOADED_LOTS_MAX: usize = 1_024;
/// Transactions of one account that caps hold for review at a time.
pub const HELD_TRANSACTIONS_MAX: usize = 1_024;
/// Authorizations of one account that are open at a time.
pub const AUTHORIZATIONS_MAX: usize = 64;
/// Lots from which the open authorizations of one account have set units aside, counted for each.
pub const AUTHORIZED_LOTS_MAX: usize = 512;
/// Lots that one restoration brings back: as many as one record can have posted the death of.
pub const RESTORED_LOTS_MAX: usize = LOT_CHANGES_MAX;
/// Bytes of one lot in a record: its name, its units, and why it changes.
pub const LOT_CHANGE_BYTES_MAX: usize = 40;
/// How long units stay set aside when the programme does not say: an hour.
pub const HOLD_MINUTES_DEFAULT: i64 = 60;
/// Longest time for which a programme may let units be set aside: 30 days.
pub const HOLD_MINUTES_MAX: i64 = 43_200;
/// The same in seconds, in which a caller states it.
pub const HOLD_SECONDS_MAX: i64 = HOLD_MINUTES_MAX * 60;
/// Reversals of parts of one accrual; beyond them only the whole rest can be reversed. Each reversal reads the earlier
/// ones of its accrual, one after the other.
pub const REVERSALS_OF_ONE_MAX: usize = 256;
/// Accounts with something held that one look at a shard goes over.
pub const HELD_ACCOUNTS_LOOKED_AT_MAX: usize = 4_096;
/// Longest reason code of an operator, in bytes.
pub const REASON_CODE_BYTES_MAX: usize = 64;
/// Longest note of an operator, in bytes.
pub const NOTE_BYTES_MAX: usize = 512;
/// Longest name of an operator, in bytes.
pub const OPERATOR_BYTES_MAX: usize = 128;
/// Vouchers that one account has, used and cancelled ones included for as long as they are remembered.
pub const VOUCHERS_MAX: usize = 64;
/// Vouchers that one transaction gives.
pub const VOUCHERS_OF_ONE_MAX: u8 = 8;
/// Vouchers that one basket uses.
pub const VOUCHER_CODES_MAX: usize = 4;
/// For so many days after the time that it was given for a voucher is remembered, used or not.
pub const VOUCHER_KEPT_DAYS: i64 = 30;
/// Kinds of voucher of one programme.
pub const PROGRAM_VOUCHERS_MAX: usize = 32;
/// The most that a voucher takes off, in basis points: all of it.
pub const VOUCHER_PERCENT_BPS_MAX: i64 = 10_000;
/// Longest text of a voucher's worth, in bytes.
pub const VOUCHER_TEXT_BYTES_MAX: usize = 128;
/// Longest name of a payment that money was paid in with, in bytes.
pub const TOP_UP_SOURCE_BYTES_MAX: usize = 64;
/// Segments that one command has an account join, and leave.
pub const SEGMENT_CHANGES_MAX: usize = 256;
/// Counters of single members that one account keeps.
pub const MEMBER_COUNTERS_MAX: usize = 4_096;
/// Bytes of the id of a member of an account.
pub const MEMBER_ID_BYTES_MAX: usize = 64;
/// Identifiers that point to one account.
pub const ACCOUNT_IDENTIFIERS_MAX: usize = 256;
/// Bytes of what an identifier says, such as the number of a card.
pub const IDENTIFIER_BYTES_MAX: usize = 256;
/// Segments that one account is in.
pub const ACCOUNT_SEGMENTS_MAX: usize = 1_024;
/// Bytes of a programme file.
pub const PROGRAM_SOURCE_BYTES_MAX: usize = 1 << 20;
/// Versions of the programme kept in one data directory.
pub const PROGRAM_VERSIONS_MAX: u32 = 65_535;

/// Wallets of one programme. A wallet's index is a byte.
pub const PROGRAM_WALLETS_MAX: usize = 32;
/// Bytes of a name in a programme file.
pub const PROGRAM_NAME_BYTES_MAX: usize = 64;
/// Problems of each severity that the check of a programme file shows; the rest are counted.
pub const PROGRAM_PROBLEMS_MAX: usize = 100;
/// Largest number of decimal places of a wallet.
pub const WALLET_SCALE_MAX: u8 = 9;
/// Largest late limit that a programme may state. Window counters are kept that long.
pub const LATE_LIMIT_DAYS_MAX: i64 = 3_660;
/// Largest future skew that a programme may state: a day.
pub const FUTURE_SKEW_SECONDS_MAX: i64 = 86_400;

/// Virtual shards of a data directory, fixed when it is made.
pub const SHARD_COUNT_DEFAULT: u16 = 256;
/// Largest count of virtual shards; the number above it names the control shard.
pub const SHARD_COUNT_MAX: u16 = 4_096;
/// Worker threads.
pub const WORKERS_MAX: usize = 64;
/// Commands waiting for one worker.
pub const WORKER_QUEUE_DEPTH_MAX: usize = 16_384;
/// Commands of one batch for a worker.
pub const WORKER_BATCH_COMMANDS_MAX: usize = 1_024;
/// Commands that a worker's own thread decides before it lets others on, unless one batch has more.
pub const WORKER_TURN_COMMANDS_MAX: usize = 128;
/// The same for a thread that serves calls.
pub const CALLER_TURN_COMMANDS_MAX: usize = 256;
/// A batch of a stream with more commands is left to the worker's own thread.
pub const CALLER_BATCH_COMMANDS_MAX: usize = 32;
/// Commands of a message that are worth going to their worker together, while the message is still being read.
pub const STREAM_PART_COMMANDS: usize = 64;
/// The most of them that go together.
pub const STREAM_PART_COMMANDS_MAX: usize = 128;
/// Records that are handed to the committer whether or not it has time for them; fewer wait until it has.
pub const WORKER_CHUNK_RECORDS: usize = 256;
/// Commands that one chunk can have records of: those it had, those of a turn, and the batch with which the turn ended.
pub const WORKER_CHUNK_COMMANDS_MAX: usize =
    WORKER_CHUNK_RECORDS + CALLER_TURN_COMMANDS_MAX + WORKER_BATCH_COMMANDS_MAX;
/// Chunks of one worker that may wait for their commit; beyond it the worker stops draining its queue.
pub const WORKER_CHUNKS_IN_FLIGHT_MAX: usize = 3;

/// Aimed size of a frame. A frame that has not reached it takes one more record, however large that is.
pub const FRAME_BYTES_TARGET: usize = 64 << 10;
/// Largest frame that is read back.
pub const FRAME_BYTES_MAX: usize = 2 << 20;
/// Largest record: that of a basket for whose lines very many rules count, then a proposal of a programme file. A frame has
/// room for it behind what it holds already.
pub const RECORD_BYTES_MAX: usize = FRAME_BYTES_MAX - FRAME_BYTES_TARGET - 4_096;
/// Bytes that a record takes for a rule that counts for a line beside the one by which it earns: the numbers of both.
pub const STACKED_RULE_BYTES_MAX: usize = 5;
/// Bytes of all else in the record of a command, whatever it asks.
pub const RECORD_REST_BYTES_MAX: usize = 680 << 10;
/// Bytes of the frames in one commit before the committer leaves the rest to the next.
pub const COMMIT_BYTES_MAX: usize = 8 << 20;
/// A record of one line, of an account that exists, stays within this.
pub const ONE_LINE_RECORD_BYTES_MAX: usize = 160;

/// A snapshot is due after so many times `snapshot_records`, whatever the time: with the defaults a recovery replays about
/// eight million records, and those that came while the snapshot was taken.
pub const SNAPSHOT_RECORDS_FACTOR: u64 = 8;
/// Milliseconds for which the clock has to stand at a time before it is believed that cells which were over by then can be
/// forgotten.
pub const CLOCK_STANDS_MS: i64 = 3_600_000;

/// Entities in one slice of a snapshot: a worker copies so many between two batches, and each slice is written by itself.
pub const SNAPSHOT_SLICE_ENTITIES: usize = 512;
/// Bytes of versions, changes and names in one slice, after which it is closed: versions of the programme can be large.
pub const SNAPSHOT_SLICE_BYTES: usize = 1 << 20;

/// Accounts that one step of the sweep for dead lots looks at.
pub const SWEEP_ACCOUNTS_MAX: usize = 128;
/// Records that one step of the sweep posts.
pub const SWEEP_RECORDS_MAX: usize = 16;
/// Beside other work a worker takes steps of a sweep or a snapshot no more often than this: of accounts whose lots all
/// die at one instant, two workers post a million in about a minute.
pub const BACKGROUND_INTERVAL_NS: i64 = 2_000_000;
/// A worker to which nothing has come for so long takes steps one after the other.
pub const BACKGROUND_QUIET_NS: i64 = 50_000_000;

/// Languages of a programme file.
pub const PROGRAM_LANGUAGES_MAX: usize = 32;
/// Bytes of the tag of a language that a caller asks for.
pub const LANGUAGE_TAG_BYTES_MAX: usize = 35;
/// Bytes of a sentence, a name or a ground in the words of a programme file.
pub const SENTENCE_BYTES_MAX: usize = 512;

/// Versions of the programme whose words are kept ready.
pub const WORDBOOK_VERSIONS_MAX: usize = 8;

/// Transactions on one page of a statement.
pub const PAGE_SIZE_MAX: usize = 500;
/// Records of an account that one page passes over, beside those that it lists.
pub const PAGE_WALK_MAX: usize = 2_000;
/// Transactions on a page when the caller names no size.
pub const PAGE_SIZE_DEFAULT: usize = 50;

/// How late a receipt may be presented when the programme does not say.
pub const LATE_LIMIT_DAYS_DEFAULT: i64 = 30;
/// How far in the future a receipt's time may lie when the programme does not say.
pub const FUTURE_SKEW_SECONDS_DEFAULT: i64 = 300;
/// The durable high-water mark is renewed at least this often while there are commits.
pub const HIGH_WATER_INTERVAL_MS: u64 = 1_000;

const _: () = assert!(SHARD_COUNT_DEFAULT <= SHARD_COUNT_MAX, "the default must be allowed");
const _: () = assert!(WORKER_BATCH_COMMANDS_MAX <= WORKER_QUEUE_DEPTH_MAX, "a batch is drained from the queue");
const _: () = assert!(BATCH_COMMANDS_MAX <= STREAM_IN_FLIGHT_MAX, "a message of a stream can be started");
const _: () =
    assert!(CLAIM_WINDOW_COMMANDS <= WORKER_BATCH_COMMANDS_MAX, "a window of a lane fits a batch for one worker");
const _: () =
    assert!(STREAM_PART_COMMANDS_MAX <= WORKER_TURN_COMMANDS_MAX, "a part of a message takes no longer than a turn");
const _: () = assert!(STREAM_PART_COMMANDS_MAX <= WORKER_BATCH_COMMANDS_MAX, "a part is one batch");
const _: () =
    assert!(STREAM_PART_COMMANDS <= STREAM_PART_COMMANDS_MAX, "a part that is worth it is no longer than a part");
const _: () = assert!(STREAM_TURN_COMMANDS <= CLAIM_WINDOW_COMMANDS, "a window is read in turns");
const _: () = assert!(WORKER_TURN_COMMANDS_MAX <= CALLER_TURN_COMMANDS_MAX, "the longer turn bounds a chunk");
const _: () = assert!(HOLD_MINUTES_DEFAULT <= HOLD_MINUTES_MAX, "the default must be allowed");
const _: () = assert!(
    // Each lot that is given back can die with the same record, beside dead lots and what the command itself changes.
    EXPIRED_LOTS_POSTED_MAX + 2 * AUTHORIZED_LOTS_MAX + LOADED_LOTS_MAX <= LOT_CHANGES_MAX,
    "what has ended and an opening balance fit one record"
);
const _: () = assert!(PROGRAM_WALLETS_MAX <= 256, "a wallet's index is a byte");
const _: () = assert!(PROGRAM_STAMPS_MAX <= 256, "a stamp card's index is a byte");
const _: () = assert!(PROGRAM_NAME_BYTES_MAX <= SYMBOL_BYTES_MAX, "names are interned");
const _: () = assert!(LATE_LIMIT_DAYS_DEFAULT <= LATE_LIMIT_DAYS_MAX, "the default must be allowed");
const _: () = assert!(FUTURE_SKEW_SECONDS_DEFAULT <= FUTURE_SKEW_SECONDS_MAX, "the default must be allowed");
const _: () = assert!(LATE_LIMIT_DAYS_MAX * 86_400 < i64::MAX / 1_000_000_000, "a late limit in nanoseconds fits i64");
const _: () = assert!(FRAME_BYTES_TARGET < FRAME_BYTES_MAX, "an ordinary frame can be read back");
const _: () = assert!(
    // Beside it a record has names and the caller's credential.
    PROGRAM_SOURCE_BYTES_MAX + (32 << 10) <= RECORD_BYTES_MAX && PROPOSAL_BYTES_MAX + (32 << 10) <= RECORD_BYTES_MAX,
    "a programme fits a frame, and so does a proposal of one"
);
const _: () = assert!(
    BASKET_LINES_MAX <= 1 << 14 && PROGRAM_RULES_MAX <= 1 << 21,
    "the number of a line takes two bytes, and that of a rule three"
);
const _: () = assert!(
    // A lot that changes takes at most 48 bytes, a cell 56, a counter 24, a line with what it earns by 18. The return of a
    // burn states its lots twice, and a reversal its cells.
    2 * LOT_CHANGES_MAX * 48
        + 2 * (PROGRAM_CELLS_MAX + PROGRAM_BONUSES_MAX) * 56
        + (PROGRAM_CAPS_MAX + 3 * PROGRAM_METRICS_MAX + PROGRAM_BONUSES_MAX + 2 * PROGRAM_STAMPS_MAX) * 24
        + BASKET_LINES_MAX * 18
        + (24 << 10)
        <= RECORD_REST_BYTES_MAX,
    "lots, cells, counters, lines and texts are all there is beside the rules"
);
const _: () = assert!(
    STACKED_RULES_MAX * STACKED_RULE_BYTES_MAX + RECORD_REST_BYTES_MAX <= RECORD_BYTES_MAX,
    "the largest basket fits a frame with all rules that count for its lines"
);
const _: () = assert!(
    // The lots that are asked for and those that change, beside the largest frame that a record is put into.
    2 * LOT_CHANGES_MAX * LOT_CHANGE_BYTES_MAX + FRAME_BYTES_TARGET + 4_096 < FRAME_BYTES_MAX,
    "a restoration and what comes back of a redemption fit a frame"
);
const _: () = assert!(FRAME_BYTES_MAX <= COMMIT_BYTES_MAX, "every frame fits a commit");
const _: () = assert!(PAGE_SIZE_DEFAULT <= PAGE_SIZE_MAX, "the default page is allowed");
const _: () = assert!(
    // The exact sum of a basket is computed in i128: amount x multiplier x units, over all lines.
    (LINE_AMOUNT_MINOR_MAX as i128) * (MULTIPLIER_BPS_MAX as i128) * (EARN_RATE_PART_MAX as i128)
        < i128::MAX / (BASKET_LINES_MAX as i128),
    "a basket's exact sum cannot overflow"
);

// The store.

/// Bytes of the store's mark. It fits a sector-sized slot with its checksum and counter to spare.
pub const MARK_BYTES_MAX: usize = 1_024;

// The index of ids (room `ids`).

/// Ids, or slots of a table, that one background step of the id index handles; a step stays a few milliseconds short.
pub const ID_STEP_ENTRIES_MAX: usize = 65_536;
/// Sealed generations of ids that may wait to be written; beyond it new claims are refused until the disk caught up.
pub const ID_UNWRITTEN_GENERATIONS_MAX: usize = 8;
/// Bytes of a filter that runs of ids share. Runs for which it would be larger are asked one by one: with the default
/// sizes those that were merged twice or more, 64 million ids each, of which there are few.
pub const ID_SHELF_BYTES_MAX: u64 = 64 << 20;

// The gRPC edge (room `service`).

/// Fields that the refusal of one malformed request names; the rest are counted. They travel in a header.
pub const FIELD_VIOLATIONS_MAX: usize = 32;
/// Bytes of results in one message of a stream, after which a further message is begun.
pub const STREAM_MESSAGE_BYTES_TARGET: usize = 256 << 10;
/// Results in one message of a stream.
pub const STREAM_MESSAGE_RESULTS_MAX: usize = 1_024;
/// Bytes of transactions on one page, after which the page is cut short.
pub const PAGE_BYTES_TARGET: usize = 1 << 20;
/// How long a batch waits for room in a full queue before its further items are refused as overloaded.
pub const BATCH_PATIENCE_MS: u64 = 2_000;
/// Quotes in one batch: each waits in a queue by itself.
pub const QUOTES_MAX: usize = 256;
/// Keys that one data directory holds, those that were revoked included.
pub const KEYS_MAX: usize = 1 << 20;
/// Freezes that a data directory holds, those that have ended included.
pub const FREEZES_MAX: usize = 1 << 20;
/// By how much a freeze or a thaw may have others post later than the clock says: it comes after all that was posted, and one
/// shard may have posted by a clock that ran ahead.
pub const FREEZE_AHEAD_NS_MAX: i64 = 3_600_000_000_000;
/// Bytes of one proposal: a programme file and what is said about it.
pub const PROPOSAL_BYTES_MAX: usize = PROGRAM_SOURCE_BYTES_MAX + (64 << 10);
/// Proposals that wait for a second person at a time.
pub const PROPOSALS_PENDING_MAX: usize = 1_024;
/// Proposals of one person that wait at a time.
pub const PROPOSALS_OF_ONE_MAX: usize = 64;
/// Bytes up to which a proposal has room beside those that are large: nearly all but programme files are small.
pub const SMALL_PROPOSAL_BYTES_MAX: usize = 16 << 10;
/// Bytes of all larger proposals that wait at a time.
pub const LARGE_PROPOSALS_BYTES_MAX: usize = 12 * PROPOSAL_BYTES_MAX;
/// Bytes of those that one person may have waiting.
pub const LARGE_PROPOSALS_OF_ONE_BYTES_MAX: usize = 3 * PROPOSAL_BYTES_MAX;
/// Freezes that one page of a list looks at.
pub const FREEZES_LOOKED_AT_MAX: usize = 16_384;
/// Bytes of what says who asked for something: a credential's name.
pub const ACTOR_BYTES_MAX: usize = CREDENTIAL_BYTES_MAX;
/// How often the times of the last use of keys are written down. A crash loses what came after.
pub const KEY_USES_INTERVAL_MS: u64 = 600_000;
/// Credentials whose rates are remembered: more than connections can remember.
pub const METERS_MAX: usize = CONNECTIONS_MAX * CONNECTION_CREDENTIALS_MAX;
/// Receipts presented again that are kept in memory, the latest.
pub const RECEIPT_CLAIMS_KEPT_MAX: usize = 4_096;
/// Bytes of what people call a key.
pub const KEY_NAME_BYTES_MAX: usize = 128;
/// Bytes of the name in a client certificate that a key stands for.
pub const CERTIFICATE_NAME_BYTES_MAX: usize = 255;
/// Stores that one grant names, and terminals.
pub const GRANT_NAMES_MAX: usize = 1_024;
/// How long a handshake of TLS may take.
pub const TLS_HANDSHAKE_MS_MAX: u64 = 10_000;
/// Bytes of one credential in the header of a call.
pub const CREDENTIAL_BYTES_MAX: usize = 8 << 10;
/// Credentials that one connection remembers: a proxy may bring those of many callers.
pub const CONNECTION_CREDENTIALS_MAX: usize = 8;
/// Exports that may run at once: each holds a second copy of the state.
pub const EXPORTS_MAX: usize = 1;
/// Connections at a time; beyond it callers wait to be accepted.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Connections of one address when nothing else is said; a further one is closed at once.
pub const CONNECTIONS_PER_ADDRESS_DEFAULT: usize = 1_024;
/// How long a connection may take to begin: the preface of HTTP/2 and its first frame.
pub const PREFACE_MS_MAX: u64 = 10_000;
/// How long one message of a call, and one frame, may take to arrive when nothing else is said.
pub const REQUEST_MS_DEFAULT: u64 = 60_000;
/// How long the request of a call that is denied is waited for, unless less is stated for messages: by then those that are
/// on their way have come, and nobody else is worth waiting for.
pub const DENIED_MS_MAX: u64 = 5_000;
/// How long a part of an answer may wait for its caller to take it when nothing else is said.
pub const ANSWER_MS_DEFAULT: u64 = 60_000;
/// How long a connection without calls stays open when nothing else is said.
pub const IDLE_MS_DEFAULT: u64 = 600_000;
/// Shortest and longest time that can be stated for any of these.
pub const CALLER_MS_MIN: u64 = 100;
/// See above.
pub const CALLER_MS_MAX: u64 = 86_400_000;
/// Bytes of one frame of a caller.
pub const FRAME_OF_CALLER_BYTES_MAX: u32 = 16 << 10;
/// Frames of one connection that ask for nothing (PING, SETTINGS, RST_STREAM, PRIORITY, WINDOW_UPDATE, empty DATA, and what
/// nobody knows) and may come at once, beyond those that the calls of the connection explain.
pub const FRAME_CREDITS_MAX: i64 = 10_000;
/// Such frames that a second makes up for.
pub const FRAME_CREDITS_PER_SECOND: u64 = 1_000;
/// Such frames that a call explains: what it may be reset with, and windows opened for its answer.
pub const FRAME_CREDITS_PER_CALL: i64 = 4;
/// By how many the calls of one connection that were given up may be ahead of those that were answered.
pub const CALLS_GIVEN_UP_MAX: u32 = 2 * CONNECTION_STREAMS_MAX;
/// Streams that a caller has opened and reset before anybody saw them.
pub const STREAMS_RESET_UNSEEN_MAX: usize = 64;
/// Streams of one connection that the server has reset because the caller made a mistake on them, or went on sending on
/// streams that it had been told are over.
pub const STREAMS_RESET_FOR_FAULTS_MAX: usize = 1_024;
/// Messages of callers up to this size are received without asking for room.
pub const SMALL_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes of larger messages that may be on their way to the server at once, or wait for the turn of their call; a further one
/// is refused as overload.
pub const LARGE_MESSAGES_BYTES_MAX: usize = 512 << 20;
/// Calls with large answers (batches and lists) of one connection that are under way at once, from when their messages are
/// here until their answers have left; further ones wait for their turn, as long as they said that they would.
pub const CONNECTION_LARGE_CALLS_MAX: usize = 16;
/// Parts of answers up to this size may wait for their caller as they come: streams bound how many there are.
pub const SMALL_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Bytes of larger ones that may wait on one connection; beyond it a further call on it is refused as overload.
pub const CONNECTION_LARGE_ANSWERS_BYTES_MAX: usize = 32 << 20;
/// Bytes of larger ones that may wait on all connections; beyond it further calls are refused on those that have any.
pub const LARGE_ANSWERS_BYTES_MAX: usize = 512 << 20;
/// Threads that serve connections.
pub const EDGE_THREADS_MAX: usize = 64;
/// Unary accruals of one serving thread that may wait for their answers; a further one is refused at once.
pub const LANE_CALLS_MAX: usize = 1_024;
/// Reads of the store for the calls of one serving thread that are under way, or wait for a thread that may wait for the disk;
/// a further one is refused at once. The calls of one connection are never more.
pub const READS_MAX: usize = 1_024;
/// Bytes of the headers of one call.
pub const HEADER_LIST_BYTES_MAX: u32 = 16 << 10;
/// How long a stopping server waits for the calls that are under way.
pub const DRAIN_MS_MAX: u64 = 30_000;

const _: () = assert!(STREAM_MESSAGE_BYTES_TARGET < MESSAGE_BYTES_MAX, "a message of a stream can be received");
const _: () = assert!(STREAM_MESSAGE_RESULTS_MAX <= BATCH_COMMANDS_MAX, "a message of a stream can be received");
const _: () = assert!(CONNECTIONS_PER_ADDRESS_DEFAULT <= CONNECTIONS_MAX, "an address has a share of all");
const _: () = assert!(PREFACE_MS_MAX <= REQUEST_MS_DEFAULT, "whoever has not begun has sent nothing worth waiting for");
const _: () = assert!(DENIED_MS_MAX <= REQUEST_MS_DEFAULT, "who is denied is waited for no longer than others");
const _: () = assert!(MESSAGE_BYTES_MAX <= LARGE_MESSAGES_BYTES_MAX, "the largest message finds room");
const _: () = assert!(SMALL_MESSAGE_BYTES_MAX < MESSAGE_BYTES_MAX, "there are messages that ask for room");
const _: () = assert!(CONNECTION_STREAMS_MAX as usize <= READS_MAX, "one connection alone is not refused its reads");
