//! The query of `GET /v2/images` as typed values (reference A.4.3).

use std::sync::LazyLock;

use chrono::{Duration, NaiveDate, NaiveDateTime};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;

use super::{Error, Result, Settings};
use crate::{
    base::limits::{LIST_CONDITIONS_MAX, LIST_VALUES_MAX},
    control::db::{Column, Comparison, Direction, Filter, ListQuery, Listed, SortKey, TimeColumn},
    model::ImageId,
};

const SORT_KEYS: &str =
    "name, status, container_format, disk_format, size, id, created_at, updated_at";

/// What Python's `quote_plus` leaves as it is.
const QUERY: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b' ');

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// For the database.
    pub query: ListQuery,
    /// Every parameter but the markers, encoded again: what `first` and `next` repeat.
    pub echo: String,
}

/// Parses what follows the `?`.
///
/// # Errors
/// [`Error::BadRequest`] with Glance's text; [`Error::Undecodable`].
pub fn parse(query: &str, settings: &Settings) -> Result<Listing> {
    let mut pairs = decode(query)?;
    let echoed = pairs.iter().filter(|(name, _)| name != "marker");
    let echo = encode(echoed.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut list = ListQuery {
        limit: Some(limit(take(&mut pairs, "limit"), settings)?),
        marker: take(&mut pairs, "marker").map(ImageId::new),
        member_status: member_status(take(&mut pairs, "member_status"))?,
        ..ListQuery::default()
    };
    while let Some(tag) = take(&mut pairs, "tag") {
        list.tags.push(tag.trim().to_owned());
    }
    let mut asked = Vec::new();
    while let Some(word) = take(&mut pairs, "visibility") {
        asked.push(word);
    }
    // No image has two visibilities, or none.
    if asked
        .iter()
        .any(|word| word.is_empty() || *word != asked[0])
    {
        list.limit = Some(0);
    }
    list.visibility = visibility(asked.pop())?;
    if take_last(&mut pairs, "changes-since").is_some_and(|since| !since.is_empty()) {
        let text = "The \"changes-since\" filter is no longer available on v2.";
        return Err(Error::BadRequest(text.into()));
    }
    (list.sort, list.tie_break) = sort(&mut pairs)?;
    list.os_hidden = os_hidden(take_last(&mut pairs, "os_hidden"))?;
    if let Some(text) = take_last(&mut pairs, "protected") {
        list.filters.push(protected(text)?);
    }
    // Of a parameter that is repeated the last counts.
    while let Some((name, value)) = pairs.pop() {
        pairs.retain(|(other, _)| *other != name);
        condition(&mut list, name, value)?;
    }
    Ok(Listing { query: list, echo })
}

/// Encodes parameters as Python's `urlencode` does.
pub fn encode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let quote = |text: &str| {
        utf8_percent_encode(text, &QUERY)
            .to_string()
            .replace(' ', "+")
    };
    let pairs: Vec<String> = pairs
        .map(|(name, value)| format!("{}={}", quote(name), quote(value)))
        .collect();
    pairs.join("&")
}

/// Decodes parameters as webob does, of which there are at most [`LIST_CONDITIONS_MAX`].
///
/// # Errors
/// [`Error::Undecodable`]; [`Error::BadRequest`] for more.
pub fn decode(query: &str) -> Result<Vec<(String, String)>> {
    let text = |part: &str| {
        let part = part.replace('+', " ");
        let decoded = percent_decode_str(&part).decode_utf8();
        decoded
            .map(|text| text.into_owned())
            .map_err(|_| Error::Undecodable)
    };
    let parts = query.split('&').filter(|part| !part.is_empty());
    if parts.clone().nth(LIST_CONDITIONS_MAX).is_some() {
        return bad(format!(
            "A list takes at most {LIST_CONDITIONS_MAX} parameters."
        ));
    }
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((text(name)?, text(value)?))
        })
        .collect()
}

/// The first value of a parameter. Later ones stay, to filter by a property of that name.
fn take(pairs: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = pairs.iter().position(|(other, _)| other == name)?;
    Some(pairs.remove(at).1)
}

/// The last value of a parameter; none stay.
fn take_last(pairs: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let mut last = None;
    while let Some(value) = take(pairs, name) {
        last = Some(value);
    }
    last
}

fn bad<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::BadRequest(text.into().into()))
}

fn limit(text: Option<String>, settings: &Settings) -> Result<u64> {
    let Some(text) = text else {
        return Ok(settings.limit_param_default.min(settings.api_limit_max));
    };
    match integer(&text) {
        None => bad("limit param must be an integer"),
        Some(limit) => match u64::try_from(limit) {
            Ok(limit) => Ok(limit.min(settings.api_limit_max)),
            Err(_) => bad("limit param must be positive"),
        },
    }
}

/// Python's `int`, which ends at 64 bits here: no number of ours is beyond.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let well_formed = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|letter| letter.is_ascii_digit()));
    let beyond = if text.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    well_formed.then(|| text.replace('_', "").parse().unwrap_or(beyond))
}

fn member_status(text: Option<String>) -> Result<Option<crate::model::MemberStatus>> {
    match text.as_deref() {
        None => Ok(Some(crate::model::MemberStatus::Accepted)),
        Some("all") => Ok(None),
        Some(text) => match text.parse() {
            Ok(status) => Ok(Some(status)),
            Err(_) => bad(format!("Invalid status: {text}")),
        },
    }
}

fn visibility(text: Option<String>) -> Result<Listed> {
    match text.as_deref() {
        None | Some("") => Ok(Listed::Unasked),
        Some("all") => Ok(Listed::All),
        Some(text) => match text.parse() {
            Ok(visibility) => Ok(Listed::Only(visibility)),
            Err(_) => bad(format!("Invalid visibility value: {text}")),
        },
    }
}

fn os_hidden(text: Option<String>) -> Result<bool> {
    match text.map(|text| text.to_lowercase()).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(text) => bad(format!(
            "Invalid value '{text}' for 'os_hidden' filter. Valid values are 'true' or 'false'."
        )),
    }
}

fn protected(text: String) -> Result<Filter> {
    match text.as_str() {
        "true" | "false" => Ok(Filter::Equals(Column::Protected, text)),
        _ => bad(format!(
            "Invalid value '{text}' for 'protected' filter. Valid values are 'true' or 'false'."
        )),
    }
}

/// The order, and the direction of the keys that make it total.
fn sort(pairs: &mut Vec<(String, String)>) -> Result<(Vec<(SortKey, Direction)>, Direction)> {
    let (mut keys, mut directions) = (Vec::new(), Vec::new());
    if let Some(text) = take(pairs, "sort") {
        if pairs
            .iter()
            .any(|(name, _)| name == "sort_key" || name == "sort_dir")
        {
            return bad("Old and new sorting syntax cannot be combined");
        }
        for part in text.trim().split(',') {
            let (key, direction) = part.split_once(':').unwrap_or((part, ""));
            keys.push(sort_key(key.trim())?);
            directions.push(match direction {
                "" => Direction::Descending,
                text => sort_dir(text.trim())?,
            });
        }
    } else {
        while let Some(key) = take(pairs, "sort_key") {
            keys.push(sort_key(key.trim())?);
        }
        while let Some(direction) = take(pairs, "sort_dir") {
            directions.push(sort_dir(direction.trim())?);
        }
        if directions.len() > 1 && directions.len() != keys.len() {
            return bad("Number of sort dirs does not match the number of sort keys");
        }
    }
    if keys.is_empty() {
        keys.push(SortKey::CreatedAt);
    }
    // One direction is for all keys, those that are appended included.
    let tie_break = match directions[..] {
        [only] => only,
        _ => Direction::Descending,
    };
    directions.resize(keys.len(), tie_break);
    Ok((keys.into_iter().zip(directions).collect(), tie_break))
}

fn sort_key(text: &str) -> Result<SortKey> {
    match SortKey::named(text) {
        Some(key) => Ok(key),
        None => bad(format!(
            "Invalid sort key: {text}. It must be one of the following: {SORT_KEYS}."
        )),
    }
}

fn sort_dir(text: &str) -> Result<Direction> {
    match text {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        _ => bad(format!("Invalid sort direction: {text}")),
    }
}

/// Any other parameter: a column with an operator, a range, a column, or a custom property.
fn condition(list: &mut ListQuery, name: String, value: String) -> Result<()> {
    let filter = match name.as_str() {
        "created_at" => time(TimeColumn::CreatedAt, &name, &value)?,
        "updated_at" => time(TimeColumn::UpdatedAt, &name, &value)?,
        // Only what is not deleted is ever listed.
        "deleted" => return Ok(()),
        "name" | "id" | "status" | "container_format" | "disk_format" => {
            let column = Column::named(&name).expect("these are columns");
            words(column, &value)?
        }
        _ => match (range(&name, &value)?, Column::named(&name)) {
            (Some(filter), _) => filter,
            (None, Some(column)) => Filter::Equals(column, value),
            (None, None) => {
                list.properties.push((name, value));
                return Ok(());
            }
        },
    };
    list.filters.push(filter);
    Ok(())
}

/// `<column>_min` and `<column>_max`.
fn range(name: &str, value: &str) -> Result<Option<Filter>> {
    let (column, bound): (_, fn(Column, i64) -> Filter) =
        match (name.strip_suffix("_min"), name.strip_suffix("_max")) {
            (Some(column), _) => (column, Filter::AtLeast),
            (None, Some(column)) => (column, Filter::AtMost),
            (None, None) => return Ok(None),
        };
    let Some(column) = Column::named(column) else {
        return Ok(None);
    };
    match integer(value).filter(|_| column.is_number()) {
        Some(number) => Ok(Some(bound(column, number))),
        None => bad("Unable to filter on a range with a non-numeric value."),
    }
}

/// An operator before the first colon; what is wholly a time has none.
fn operator(value: &str) -> (&str, &str) {
    match value.split_once(':') {
        Some(split) if iso_time(value).is_none() => split,
        _ => ("eq", value),
    }
}

fn words(column: Column, value: &str) -> Result<Filter> {
    match operator(value) {
        ("eq", text) => Ok(Filter::Equals(column, text.to_owned())),
        ("in", text) => Ok(Filter::OneOf(column, split_quoted(text)?)),
        (other, _) => bad(format!("Unable to filter by unknown operator '{other}'.")),
    }
}

fn time(column: TimeColumn, name: &str, value: &str) -> Result<Filter> {
    let (operator, text) = operator(value);
    let Some(time) = iso_time(text) else {
        return bad(format!(
            "Bad \"{name}\" query filter format. Use ISO 8601 DateTime notation."
        ));
    };
    let comparison = match operator {
        "gt" => Comparison::Gt,
        "gte" => Comparison::Gte,
        "lt" => Comparison::Lt,
        "lte" => Comparison::Lte,
        "eq" => Comparison::Eq,
        "neq" => Comparison::Neq,
        _ => return bad("Unable to filter on a unknown operator."),
    };
    Ok(Filter::Time(column, comparison, time))
}

/// The values of `in:`, where double quotes group and a backslash keeps a quote from doing so.
fn split_quoted(text: &str) -> Result<Vec<String>> {
    check_quotes(text)?;
    static VALUE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#""((?s:[^"\\]*(?:\\.[^"\\]*)*))",?|([^,]+),?|,"#).expect("it is constant")
    });
    let values = VALUE.captures_iter(text).map(|found| {
        let quoted = found.get(1).filter(|group| !group.is_empty());
        let value = quoted.or(found.get(2));
        value.map_or("", |group| group.as_str()).to_owned()
    });
    few(values.collect())
}

/// Refuses more values than a condition may have.
///
/// # Errors
/// [`Error::BadRequest`].
pub(super) fn few(values: Vec<String>) -> Result<Vec<String>> {
    match values.len() > LIST_VALUES_MAX {
        true => bad(format!("A filter takes at most {LIST_VALUES_MAX} values.")),
        false => Ok(values),
    }
}

fn check_quotes(text: &str) -> Result<()> {
    let letters: Vec<char> = text.chars().collect();
    let mut outside = true;
    for (at, _) in letters
        .iter()
        .enumerate()
        .filter(|(_, letter)| **letter == '"')
    {
        let before = at.checked_sub(1).map(|at| letters[at]);
        if before == Some('\\') {
            continue;
        }
        if outside && before.is_some_and(|letter| letter != ',') {
            return bad(format!(
                "Invalid filter value {text}. There is no comma before opening quotation mark."
            ));
        }
        if !outside && letters.get(at + 1).is_some_and(|letter| *letter != ',') {
            return bad(format!(
                "Invalid filter value {text}. There is no comma after closing quotation mark."
            ));
        }
        outside = !outside;
    }
    if outside {
        Ok(())
    } else {
        bad(format!(
            "Invalid filter value {text}. The quote is not closed."
        ))
    }
}

/// ISO 8601 as Python's `iso8601` reads it: parts may be left out from the right, separators
/// too; UTC unless an offset is given. The time in UTC.
fn iso_time(text: &str) -> Option<NaiveDateTime> {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        let date = r"(\d{4})(?:(?:-(\d{1,2})|(\d{2}))(?:(?:-(\d{1,2})|(\d{2}))";
        let time = r"(?:[ T](\d{2})(?::?(\d{2}))?(?::?(\d{1,2})(?:[.,](\d+))?)?";
        let zone = r"(Z|[-+]\d{2}:?(?:\d{2})?)?)?)?)?";
        Regex::new(&format!("^{date}{time}{zone}$")).expect("it is constant")
    });
    let found = TIME.captures(text)?;
    let group = |index: usize| found.get(index).map(|group| group.as_str());
    let number = |index: usize| group(index).and_then(|text| text.parse::<u32>().ok());
    // YYYYMM could be YYMMDD: not accepted.
    if group(3).is_some() && group(4).is_none() && group(5).is_none() {
        return None;
    }
    let month = number(2).or(number(3)).unwrap_or(1);
    let day = number(4).or(number(5)).unwrap_or(1);
    let date = NaiveDate::from_ymd_opt(number(1)? as i32, month, day)?;
    let fraction: String = group(9).unwrap_or_default().chars().take(6).collect();
    let micros = format!("{fraction:0<6}").parse().ok()?;
    let time = date.and_hms_micro_opt(
        number(6).unwrap_or(0),
        number(7).unwrap_or(0),
        number(8).unwrap_or(0),
        micros,
    )?;
    time.checked_sub_signed(offset(group(10).unwrap_or("Z"))?)
}

fn offset(zone: &str) -> Option<Duration> {
    let Some(digits) = zone.strip_prefix(['-', '+']) else {
        return Some(Duration::zero());
    };
    let digits = digits.replace(':', "");
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = match digits.get(2..) {
        None | Some("") => 0,
        Some(minutes) => minutes.parse().ok()?,
    };
    let offset = Duration::hours(hours) + Duration::minutes(minutes);
    Some(if zone.starts_with('-') {
        -offset
    } else {
        offset
    })
}

#[cfg(test)]
mod tests;
