//! Amounts, times, hashes and foreign text as a reader wants them.

use alloy_primitives::{Address, B256, U256};
use maud::{Markup, html};
use oceanid_stf::Work;
use std::fmt::Write as _;

/// Wei in one token.
const TOKEN: u64 = 1_000_000_000_000_000_000;
/// Wei in a gwei.
const GWEI: f64 = 1e9;
/// Longest foreign text shown, characters.
const MAX_TEXT: usize = 64;

/// A whole number with a comma every three digits.
pub(crate) fn count(value: impl ToString) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Wei as tokens: two decimals from 1 token, else four significant digits. Rounded down.
pub(crate) fn amount(wei: U256) -> String {
    let token = U256::from(TOKEN);
    let (whole, rest) = (wei / token, wei % token);
    if whole > U256::ZERO {
        let cents = (rest / U256::from(TOKEN / 100)).to::<u64>();
        return match cents {
            0 => count(whole),
            cents => format!("{}.{cents:02}", count(whole)),
        };
    }
    let digits = format!("{:018}", rest.to::<u64>());
    let Some(first) = digits.find(|digit| digit != '0') else { return "0".to_owned() };
    let shown = digits[..(first + 4).min(18)].trim_end_matches('0');
    format!("0.{shown}")
}

/// A gas price in gwei.
pub(crate) fn gwei(wei: u128) -> String {
    let value = wei as f64 / GWEI;
    let text = format!("{value:.4}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{} gwei", if short == "0" && wei > 0 { "< 0.0001" } else { short })
}

/// A share as a percentage with one decimal.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `led / (led + missed)`; everything for a member that was never drawn.
pub(crate) fn performance(work: Work) -> String {
    let drawn = f64::from(work.led) + f64::from(work.missed);
    percent(if drawn == 0.0 { 1.0 } else { f64::from(work.led) / drawn })
}

/// `part / whole`, 0 of nothing.
pub(crate) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A length of time in its two largest units.
pub(crate) fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 5] = [(31_536_000, "y"), (86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(size, _)| seconds >= *size) else { return "0 s".to_owned() };
    let (size, unit) = UNITS[first];
    let mut out = format!("{} {unit}", count(seconds / size));
    if let Some((small, unit)) = UNITS.get(first + 1)
        && seconds % size / small > 0
    {
        let _ = write!(out, " {} {unit}", seconds % size / small); // writing to a String cannot fail
    }
    out
}

/// Seconds since 1970 as `2026-11-22T14:46:14Z`.
pub(crate) fn iso(timestamp: u64) -> String {
    let (days, second) = (timestamp / 86_400, timestamp % 86_400);
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3_600, second / 60 % 60, second % 60)
}

/// Days since 1970 as a date of the Gregorian calendar. Years are counted from March, so that the leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_ERA: u64 = 146_097; // 400 years
    let shifted = days.saturating_add(719_468); // from 0000-03-01
    let (era, day_of_era) = (shifted / DAYS_OF_ERA, shifted % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A moment: how long ago, with the date for who points at it.
pub(crate) fn ago(timestamp: u64, now: u64) -> Markup {
    let date = iso(timestamp);
    let text = match now.checked_sub(timestamp) {
        Some(past) => format!("{} ago", duration(past)),
        None => format!("in {}", duration(timestamp - now)),
    };
    html! { time datetime=(date) title=(date) { (text) } }
}

/// A hash for a table: its ends, whole for who points at it.
pub(crate) fn short(hash: B256) -> Markup {
    let text = hash.to_string();
    html! { code title=(text) { (text[..10]) "…" (text[60..]) } }
}

/// An address for a table.
pub(crate) fn short_address(address: Address) -> Markup {
    let text = address.to_checksum(None);
    html! { code title=(text) { (text[..8]) "…" (text[38..]) } }
}

/// A hash or other hex in full; it may break anywhere.
pub(crate) fn long(hex: impl ToString) -> Markup {
    html! { code.long { (hex.to_string()) } }
}

/// Foreign text made harmless to look at: no control characters, none that turn the direction of writing or take no room, and
/// not too long. (Escaping for HTML is the templates' business.)
pub(crate) fn foreign(text: &str) -> String {
    foreign_up_to(text, MAX_TEXT)
}

/// As [`foreign`], with a limit of characters.
pub(crate) fn foreign_up_to(text: &str, limit: usize) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
    };
    let mut out: String = text.chars().take(limit).map(|c| if hidden(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_what_matters() {
        let wei = |text: &str| text.parse::<U256>().expect("a number");
        for (given, shown) in [
            ("0", "0"),
            ("1", "0.000000000000000001"),
            ("21000000000000", "0.000021"),
            ("123456789000000000", "0.1234"),
            ("1000000000000000000", "1"),
            ("1999999999999999999", "1.99"),
            ("20000000000000000000000", "20,000"),
            ("1234567050000000000000000", "1,234,567.05"),
        ] {
            assert_eq!(amount(wei(given)), shown, "{given}");
        }
        assert!(amount(U256::MAX).starts_with("115,792,"));
    }

    #[test]
    fn prices() {
        assert_eq!(gwei(1_000_000_000), "1 gwei");
        assert_eq!(gwei(1_500_000), "0.0015 gwei");
        assert_eq!((gwei(0), gwei(7)), ("0 gwei".to_owned(), "< 0.0001 gwei".to_owned()));
    }

    #[test]
    fn dates() {
        for (given, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_358_774, "2026-11-22T14:46:14Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(given), shown);
        }
        assert!(iso(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn durations() {
        for (given, shown) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3_725, "1 h 2 min"), (90_000, "1 d 1 h"), (31_536_000, "1 y")]
        {
            assert_eq!(duration(given), shown);
        }
    }

    #[test]
    fn foreign_text_is_tamed() {
        assert_eq!(foreign("METIS"), "METIS");
        assert_eq!(foreign("a\u{202e}b\nc"), "a\u{fffd}b\u{fffd}c");
        assert_eq!(foreign(&"x".repeat(100)).chars().count(), MAX_TEXT + 1);
    }
}
