//! The cells of the table, what others reach in them and what we mean to reach.
//!
//! The others' figures are given, not measured by this program: on a 2-core Debian 12 machine shared with the client,
//! one device, one copy; Garage runs without fsync there (226 puts of 4 KiB a second with it).

/// How a cell's rate is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Operations per second.
    Operations,
    /// Decimal megabytes of body per second.
    Megabytes,
}

/// A rate and the server's CPU seconds per 1000 operations, as far as they are known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mark {
    pub(crate) rate: f64,
    pub(crate) cpu: Option<f64>,
}

const fn mark(rate: f64, cpu: f64) -> Option<Mark> {
    Some(Mark { rate, cpu: Some(cpu) })
}

const fn rate(rate: f64) -> Option<Mark> {
    Some(Mark { rate, cpu: None })
}

/// Names of the columns of [`Row::rivals`].
pub(crate) const RIVALS: [&str; 4] =
    ["Ceph RGW 16.2", "Garage 1.2 (no fsync)", "Swift 2.30", "hyper skeleton, no features"];

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Names the cell in the results.
    pub(crate) cell: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    pub(crate) rivals: [Option<Mark>; 4],
    pub(crate) reach: Option<Mark>,
}

/// The lines in order.
pub(crate) const ROWS: &[Row] = &[
    Row {
        cell: "put-4k",
        title: "PUT 4 KiB, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [mark(942.0, 1.90), mark(1067.0, 1.33), mark(230.0, 8.3), mark(34_000.0, 0.030)],
        reach: mark(10_000.0, 0.12),
    },
    Row {
        cell: "get-4k",
        title: "GET 4 KiB, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [mark(1956.0, 0.87), mark(2979.0, 0.54), mark(421.0, 4.7), mark(53_000.0, 0.017)],
        reach: mark(25_000.0, 0.045),
    },
    Row {
        cell: "put-1m",
        title: "PUT 1 MiB, 8 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [mark(228.0, 7.8), mark(142.0, 13.4), mark(118.0, 15.7), mark(579.0, 3.2)],
        reach: mark(450.0, 3.8),
    },
    Row {
        cell: "get-1m",
        title: "GET 1 MiB, 8 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [mark(609.0, 2.6), mark(526.0, 2.9), mark(214.0, 9.0), None],
        reach: mark(1000.0, 0.9),
    },
    Row {
        cell: "put-64m",
        title: "PUT 64 MiB, 2 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [rate(274.0), mark(195.0, 595.0), mark(281.0, 308.0), None],
        reach: mark(500.0, 240.0),
    },
    Row {
        cell: "get-64m",
        title: "GET 64 MiB, 8 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [mark(712.0, 147.0), mark(593.0, 170.0), mark(423.0, 270.0), None],
        reach: mark(1300.0, 60.0),
    },
    Row {
        cell: "list-1000",
        title: "LIST 1000 of 100k keys, 8 conn: pages/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [mark(94.0, 14.0), mark(246.0, 7.9), mark(29.0, 67.0), None],
        reach: mark(1500.0, 1.2),
    },
    Row {
        cell: "mixed-4k",
        title: "70 % GET, 30 % PUT of 4 KiB, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "swift-get-4k",
        title: "Swift GET 4 KiB with a Keystone token, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-4k-signed",
        title: "PUT 4 KiB, SHA-256 signed, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-4k-trailer",
        title: "PUT 4 KiB, aws-chunked with CRC-64/NVME behind, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-1m-signed",
        title: "PUT 1 MiB, SHA-256 signed, 8 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-1m-trailer",
        title: "PUT 1 MiB, aws-chunked with CRC-64/NVME behind, 8 conn: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "overwrite-4k",
        title: "PUT 4 KiB over 20 000 keys again and again, while compaction frees what they leave, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "scrubbed-4k",
        title: "70 % GET, 30 % PUT of 4 KiB, while everything is scrubbed, 64 conn: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "list-10k",
        title: "LIST 1000 of 10^4 keys, 8 conn: pages/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "list-1m",
        title: "LIST 1000 of 10^6 keys, 8 conn: pages/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "list-10m",
        title: "LIST 1000 of 10^7 keys, 8 conn: pages/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-4k-3",
        title: "PUT 4 KiB, 64 conn, 3 copies on 3 devices: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None, None, mark(129.0, 14.9), None],
        reach: None,
    },
    Row {
        cell: "get-4k-3",
        title: "GET 4 KiB, 64 conn, 3 copies on 3 devices: ops/s, CPU-s/1000",
        unit: Unit::Operations,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "put-1m-ec",
        title: "PUT 1 MiB, 8 conn, erasure 4+2 on 6 devices: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [None; 4],
        reach: None,
    },
    Row {
        cell: "get-1m-ec",
        title: "GET 1 MiB, 8 conn, erasure 4+2 on 6 devices: MB/s, CPU-s/1000",
        unit: Unit::Megabytes,
        rivals: [None; 4],
        reach: None,
    },
];

/// Bytes per 4 KiB object after a million, by the order of [`RIVALS`].
pub(crate) const SPACE_RIVALS: [Option<f64>; 4] = [Some(14_400.0), Some(13_400.0), Some(17_900.0), None];
/// What we mean to reach there.
pub(crate) const SPACE_REACH: f64 = 5500.0;
/// Resident bytes at most, without load and under it.
pub(crate) const RSS_IDLE_MAX: u64 = 120_000_000;
/// See [`RSS_IDLE_MAX`].
pub(crate) const RSS_LOAD_MAX: u64 = 400_000_000;
/// A restart with a million objects takes less.
pub(crate) const RESTART_SECONDS_MAX: f64 = 5.0;
/// A cell is good if it misses its reach by no more than this factor.
pub(crate) const SLACK: f64 = 1.5;
