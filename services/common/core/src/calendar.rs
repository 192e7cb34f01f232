//! Dates of the proleptic Gregorian calendar, for the texts of times.
//!
//! By hand because a listing prints a thousand of them: these few integer operations cost a tenth of a general formatter.

/// A moment in UTC by its fields, as texts write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CivilTime {
    /// From 1970 on.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
}

impl CivilTime {
    /// The fields of so many seconds since the Unix epoch, by counting 400-year eras from 1 March (so that leap days come
    /// last).
    #[must_use]
    pub fn of(secs: u64) -> Self {
        let shifted = secs / 86_400 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: secs / 3600 % 24,
            minute: secs / 60 % 60,
            second: secs % 60,
        }
    }

    /// Seconds since the Unix epoch; `None` if there is no such moment from 1970 to 9999.
    #[must_use]
    pub fn secs(&self) -> Option<u64> {
        let Self { year, month, day, hour, minute, second } = *self;
        let in_range = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !in_range {
            return None;
        }
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year / 400, year % 400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days =
            era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
        let secs = days * 86_400 + hour * 3600 + minute * 60 + second;
        // A 30 February is another day.
        (Self::of(secs) == *self).then_some(secs)
    }

    /// The number that these digits write; `None` if there is anything else, or too many.
    #[must_use]
    pub fn field(digits: &[u8]) -> Option<u64> {
        digits.iter().try_fold(0_u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            sum.checked_mul(10)?.checked_add(digit)
        })
    }
}
