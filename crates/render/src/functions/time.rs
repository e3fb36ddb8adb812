//! Times in UTC, by Go's layouts: a layout is the reference time `Mon Jan 2 15:04:05 MST 2006` written otherwise.

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The parts of a layout, longer ones first where one begins another.
const PARTS: [&str; 32] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "2",
    "_2006",
    "_2",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "1",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "Z07:00:00",
    "Z07:00",
    "Z0700",
    "Z07",
    "-07:00:00",
    "-07:00",
    "-0700",
    "-07",
    "__2",
];

/// Days since 1970 as year, month and day.
fn date(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month + 2) / 5 + 1) as u32;
    let month = if month < 10 { month + 3 } else { month - 9 } as u32;
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// A time (seconds of Unix time, nanoseconds) by a layout.
pub(super) fn format((seconds, nanos): (i64, u32), layout: &str) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let weekday = DAYS[(days + 4).rem_euclid(7) as usize];
    let month_name = MONTHS[month as usize - 1];
    let year_day = days - day_one(year) + 1;
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((digits, keep)) = fraction(rest) {
            let mut text = format!("{nanos:09}");
            text.truncate(digits);
            if !keep {
                text = text.trim_end_matches('0').to_owned();
            }
            if keep || !text.is_empty() {
                out.push(c);
                out.push_str(&text);
            }
            rest = &rest[1 + digits..];
            continue;
        }
        let found = PARTS
            .iter()
            .filter(|part| rest.starts_with(**part) && !begins_word(part, rest))
            .max_by_key(|part| part.len());
        let Some(part) = found else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        };
        rest = &rest[part.len()..];
        out.push_str(&match *part {
            "January" => month_name.into(),
            "Jan" => month_name[..3].to_owned(),
            "Monday" => weekday.into(),
            "Mon" => weekday[..3].to_owned(),
            "MST" => "UTC".into(),
            "2006" => format!("{year:04}"),
            "_2006" => format!("_{year:04}"),
            "06" => format!("{:02}", year.rem_euclid(100)),
            "01" => format!("{month:02}"),
            "1" => month.to_string(),
            "02" => format!("{day:02}"),
            "_2" => format!("{day:>2}"),
            "2" => day.to_string(),
            "002" => format!("{year_day:03}"),
            "__2" => format!("{year_day:>3}"),
            "15" => format!("{hour:02}"),
            "03" => format!("{twelve:02}"),
            "3" => twelve.to_string(),
            "04" => format!("{minute:02}"),
            "4" => minute.to_string(),
            "05" => format!("{second:02}"),
            "5" => second.to_string(),
            "PM" => if hour < 12 { "AM" } else { "PM" }.into(),
            "pm" => if hour < 12 { "am" } else { "pm" }.into(),
            "-07:00:00" => "+00:00:00".into(),
            "-07:00" => "+00:00".into(),
            "-0700" => "+0000".into(),
            "-07" => "+00".into(),
            // The layouts with a Z.
            _ => "Z".into(),
        });
    }
    out
}

/// `Jan` is no month in `Janus`.
fn begins_word(part: &str, rest: &str) -> bool {
    matches!(part, "Jan" | "Mon") && rest[part.len()..].starts_with(|c: char| c.is_ascii_lowercase())
}

/// `.000` or `,999`: a fraction of the second, with or without its last noughts.
fn fraction(rest: &str) -> Option<(usize, bool)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let first = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == first).count();
    let follows_digit = digits[count..].starts_with(|c: char| c.is_ascii_digit());
    (!follows_digit && count <= 9).then_some((count, first == '0'))
}

/// Days from 1970 to the first of a year.
fn day_one(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + (before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400))
        - (1969 / 4 - 1969 / 100 + 1969 / 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_reference_time_is() {
        for (time, layout, text) in [
            ((0, 0), "Mon Jan 2 15:04:05 -0700 MST 2006", "Thu Jan 1 00:00:00 +0000 UTC 1970"),
            ((0, 0), "x", "x"),
            ((1_709_212_149, 5_000_000), "2006-01-02T15:04:05.000Z07:00", "2024-02-29T13:09:09.005Z"),
            (
                (1_709_212_149, 0),
                "Monday, 02-Jan-06 03:04PM _2 002 .999",
                "Thursday, 29-Feb-24 01:09PM 29 060 ",
            ),
            ((951_782_400, 0), "2006-01-02", "2000-02-29"),
            ((-1, 0), "2006-01-02 15:04:05", "1969-12-31 23:59:59"),
        ] {
            assert_eq!(format(time, layout), text);
        }
    }
}
