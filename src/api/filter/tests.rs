use super::*;
use crate::model::{MemberStatus, Visibility};

fn query(text: &str) -> ListQuery {
    parse(text, &Settings::default()).unwrap().query
}

fn error(text: &str) -> String {
    parse(text, &Settings::default()).unwrap_err().to_string()
}

#[test]
fn nothing_asked_is_the_first_page_by_creation() {
    let expected = ListQuery {
        limit: Some(25),
        ..ListQuery::default()
    };
    assert_eq!(query(""), expected);
}

#[test]
fn limits_are_whole_and_capped() {
    assert_eq!(query("limit=7").limit, Some(7));
    assert_eq!(query("limit=0").limit, Some(0));
    assert_eq!(query("limit=99999999999999999999").limit, Some(1000));
    assert_eq!(error("limit=x"), "limit param must be an integer");
    assert_eq!(error("limit="), "limit param must be an integer");
    assert_eq!(error("limit=-1"), "limit param must be positive");
}

#[test]
fn sort_has_two_syntaxes() {
    let by_name = vec![
        (SortKey::Name, Direction::Ascending),
        (SortKey::Size, Direction::Descending),
    ];
    assert_eq!(query("sort=name:asc,size").sort, by_name);
    assert_eq!(query("sort=name:asc,size").tie_break, Direction::Descending);
    let classic = "sort_key=name&sort_dir=asc&sort_key=size&sort_dir=desc";
    assert_eq!(query(classic).sort, by_name);
    let one = query("sort_key=name&sort_key=id&sort_dir=asc");
    assert_eq!(one.sort[1], (SortKey::Id, Direction::Ascending));
    assert_eq!(one.tie_break, Direction::Ascending);
}

#[test]
fn sort_errors_are_glances() {
    assert_eq!(
        error("sort=foo"),
        "Invalid sort key: foo. It must be one of the following: name, status, container_format, \
         disk_format, size, id, created_at, updated_at."
    );
    assert_eq!(error("sort=name:up"), "Invalid sort direction: up");
    assert_eq!(
        error("sort=name&sort_dir=asc"),
        "Old and new sorting syntax cannot be combined"
    );
    assert_eq!(
        error("sort_key=name&sort_dir=asc&sort_dir=asc"),
        "Number of sort dirs does not match the number of sort keys"
    );
}

#[test]
fn visibility_and_membership_are_words() {
    assert_eq!(query("visibility=all").visibility, Listed::All);
    let public = Listed::Only(Visibility::Public);
    assert_eq!(query("visibility=public").visibility, public);
    assert_eq!(error("visibility=x"), "Invalid visibility value: x");
    assert_eq!(query("visibility=").limit, Some(0));
    assert_eq!(query("visibility=public&visibility=private").limit, Some(0));
    let pending = Some(MemberStatus::Pending);
    assert_eq!(query("member_status=pending").member_status, pending);
    assert_eq!(query("member_status=all").member_status, None);
    assert_eq!(error("member_status=x"), "Invalid status: x");
}

#[test]
fn flags_are_true_or_false() {
    assert!(query("os_hidden=True").os_hidden);
    assert_eq!(
        error("os_hidden=yes"),
        "Invalid value 'yes' for 'os_hidden' filter. Valid values are 'true' or 'false'."
    );
    let protected = Filter::Equals(Column::Protected, "true".into());
    assert_eq!(query("protected=true").filters, [protected]);
    assert_eq!(
        error("protected=True"),
        "Invalid value 'True' for 'protected' filter. Valid values are 'true' or 'false'."
    );
}

#[test]
fn words_have_operators() {
    let equals = |text: &str| [Filter::Equals(Column::Name, text.into())];
    assert_eq!(query("name=x").filters, equals("x"));
    assert_eq!(query("name=eq:a:b").filters, equals("a:b"));
    assert_eq!(
        query("name=2020-01-01T00:00:00Z").filters,
        equals("2020-01-01T00:00:00Z")
    );
    assert_eq!(
        error("name=a:b"),
        "Unable to filter by unknown operator 'a'."
    );
    let one_of = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        [Filter::OneOf(Column::Name, words)]
    };
    assert_eq!(query("name=in:a,b").filters, one_of(&["a", "b"]));
    assert_eq!(query("name=in:a,%22b,c%22").filters, one_of(&["a", "b,c"]));
    assert_eq!(
        query(r#"name=in:"a\"b",c"#).filters,
        one_of(&[r#"a\"b"#, "c"])
    );
    assert_eq!(query("name=in:,a").filters, one_of(&["", "a"]));
}

#[test]
fn quotes_must_stand_beside_commas_and_close() {
    assert_eq!(
        error(r#"name=in:a"b""#),
        "Invalid filter value a\"b\". There is no comma before opening quotation mark."
    );
    assert_eq!(
        error(r#"name=in:"a"b"#),
        "Invalid filter value \"a\"b. There is no comma after closing quotation mark."
    );
    assert_eq!(
        error(r#"name=in:"a"#),
        "Invalid filter value \"a. The quote is not closed."
    );
}

#[test]
fn times_are_iso_8601_in_utc() {
    let expected = NaiveDate::from_ymd_opt(2020, 1, 2)
        .unwrap()
        .and_hms_opt(1, 4, 5)
        .unwrap();
    let filter = Filter::Time(TimeColumn::CreatedAt, Comparison::Gte, expected);
    for text in [
        "gte:2020-01-02T01:04:05Z",
        "gte:20200102T010405",
        "gte:2020-01-02T03:04:05%2B02:00",
        "gte:2020-01-02 01:04:05",
    ] {
        let found = query(&format!("created_at={text}")).filters;
        assert_eq!(found, std::slice::from_ref(&filter));
    }
    assert!(matches!(
        query("updated_at=2020-01-02T01:04:05Z").filters[..],
        [Filter::Time(TimeColumn::UpdatedAt, Comparison::Eq, _)]
    ));
    assert_eq!(
        error("created_at=foo"),
        "Bad \"created_at\" query filter format. Use ISO 8601 DateTime notation."
    );
    assert_eq!(
        error("created_at=xx:2020-01-01"),
        "Unable to filter on a unknown operator."
    );
}

#[test]
fn ranges_are_of_number_columns() {
    let both = [
        Filter::AtMost(Column::MinRam, 9),
        Filter::AtLeast(Column::Size, 5),
    ];
    assert_eq!(query("size_min=5&min_ram_max=9").filters, both);
    assert_eq!(
        error("size_min=x"),
        "Unable to filter on a range with a non-numeric value."
    );
}

#[test]
fn other_names_are_columns_or_properties() {
    let owner = Filter::Equals(Column::Owner, "me".into());
    assert_eq!(query("owner=me").filters, [owner]);
    let property = ("os_distro".to_owned(), "debian".to_owned());
    assert_eq!(query("os_distro=x&os_distro=debian").properties, [property]);
    assert_eq!(query("tag=a&tag=b").tags, ["a", "b"]);
    assert_eq!(
        error("changes-since=x"),
        "The \"changes-since\" filter is no longer available on v2."
    );
}

#[test]
fn the_echo_repeats_all_but_the_marker() {
    let listing = parse("tag=a b&marker=x&tag=%C3%A9~*&empty=", &Settings::default()).unwrap();
    assert_eq!(listing.echo, "tag=a+b&tag=%C3%A9~%2A&empty=");
    assert_eq!(listing.query.marker, Some(ImageId::new("x")));
}

#[test]
fn lists_ask_for_no_more_than_a_database_plans() {
    let tags = |count| vec!["tag"; count].join("&");
    assert_eq!(query(&tags(128)).tags.len(), 128);
    assert_eq!(error(&tags(129)), "A list takes at most 128 parameters.");
    let ids = |count| format!("id=in:{}", vec!["x"; count].join(","));
    assert_eq!(query(&ids(1024)).filters.len(), 1);
    assert_eq!(error(&ids(1025)), "A filter takes at most 1024 values.");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    assert!(matches!(
        parse("name=%ff", &Settings::default()),
        Err(Error::Undecodable)
    ));
}
