//! Every route as every persona, with images of its own project and of another, by their
//! visibility: the real Glance and us, both with the real Keystone.

use std::{fmt::Write, fs};

use super::{
    Pair,
    script::{self, Step, Variables},
};
use crate::support::keystone::Keystone;

/// Who asks: the variable of its token, and its cloud. Images are of the project `demo`.
const PERSONAS: [(&str, &str); 8] = [
    ("admin", "demo-admin"),
    ("manager", "demo-manager"),
    ("member", "demo-member"),
    ("reader", "demo-reader"),
    ("othermember", "alt-member"),
    ("otherreader", "alt-reader"),
    ("service", "nova"),
    ("system", "system"),
];

/// What images there are, and whether the project `alt` is a member.
const KINDS: [(&str, bool); 5] = [
    ("private", false),
    ("shared", false),
    ("shared", true),
    ("community", false),
    ("public", false),
];

/// What is asked of each image, the least destructive first. A line that begins with `admin: ` is
/// the administrator's.
const ROUTES: &str = r#"
GET /v2/images/IMAGE
GET /v2/images?id=IMAGE&visibility=all
GET /v2/images?id=IMAGE
GET /v2/images?id=IMAGE&member_status=all
GET /v2/images/IMAGE/members
GET /v2/images/IMAGE/members/{alt}
GET /v2/images/IMAGE/members/unknown
POST /v2/images/IMAGE/members {"member": "third"}
POST /v2/images/IMAGE/members {"member": "third"}
PUT /v2/images/IMAGE/members/third {"status": "accepted"}
PUT /v2/images/IMAGE/members/{alt} {"status": "accepted"}
PUT /v2/images/IMAGE/members/{alt} {"status": "unknown"}
GET /v2/images?id=IMAGE&member_status=accepted
GET /v2/images/IMAGE/members
DELETE /v2/images/IMAGE/members/third
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/name", "value": "other"}]
PATCH /v2/images/IMAGE []
PATCH /v2/images/IMAGE [{"op": "add", "path": "/os_distro", "value": "debian"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/absent", "value": "x"}]
PATCH /v2/images/IMAGE [{"op": "remove", "path": "/name"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/owner", "value": "{alt}"}]
admin: PATCH /v2/images/IMAGE [{"op": "replace", "path": "/owner", "value": "{demo}"}]
PUT /v2/images/IMAGE/tags/one
DELETE /v2/images/IMAGE/tags/one
DELETE /v2/images/IMAGE/tags/none
GET /v2/images/IMAGE/file
PUT /v2/images/IMAGE/file @64
admin: PUT /v2/images/IMAGE/file @64
GET /v2/images/IMAGE/file
GET /v2/images/IMAGE/file?prefer=fast
POST /v2/images/IMAGE/actions/deactivate
admin: POST /v2/images/IMAGE/actions/deactivate
GET /v2/images/IMAGE
GET /v2/images/IMAGE/file
POST /v2/images/IMAGE/actions/deactivate
POST /v2/images/IMAGE/actions/reactivate
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/visibility", "value": "public"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/visibility", "value": "community"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/protected", "value": true}]
DELETE /v2/images/IMAGE
admin: PATCH /v2/images/IMAGE [{"op": "replace", "path": "/protected", "value": false}]
DELETE /v2/images/IMAGE
admin: DELETE /v2/images/IMAGE
GET /v2/images/IMAGE
"#;

/// What is asked of no image.
const ALONE: &str = r#"
POST /v2/images {"name": "x"}
POST /v2/images {"name": "x", "owner": "{demo}"}
POST /v2/images {"name": "x", "owner": "{alt}"}
POST /v2/images {"name": "x", "owner": null}
POST /v2/images {"name": "x", "visibility": "public"}
POST /v2/images {"name": "x", "visibility": "community"}
POST /v2/images {"name": "x", "owner": "{alt}", "visibility": "public"}
GET /v2/images?name=none
GET /v2/images/{u999}
DELETE /v2/images/{u999}
PUT /v2/images/{u999}/file @8
POST /v2/images/{u999}/members {"member": "x"}
PUT /v2/images/{u999}/tags/x
GET /v2/schemas/image
"#;

/// What is asked last of all: from then on Glance also names its reserved stores to whoever creates
/// an image.
const STORES: &str = "GET /v2/info/stores\nGET /v2/info/stores/detail\n";

/// What is asked of a namespace of definitions, which is `demo`'s, and of what is in it.
const DEFINITIONS: &str = r#"
GET /v2/metadefs/namespaces/NS
GET /v2/metadefs/namespaces/NS/objects
GET /v2/metadefs/namespaces/NS/objects/o
GET /v2/metadefs/namespaces/NS/properties
GET /v2/metadefs/namespaces/NS/properties/p
GET /v2/metadefs/namespaces/NS/properties/x_p?resource_type=T
GET /v2/metadefs/namespaces/NS/tags
GET /v2/metadefs/namespaces/NS/tags/t
GET /v2/metadefs/namespaces/NS/resource_types
PUT /v2/metadefs/namespaces/NS {"namespace": "NS", "owner": "{demo}", "visibility": "VISIBILITY"}
POST /v2/metadefs/namespaces/NS/objects {"name": "WHO"}
POST /v2/metadefs/namespaces/NS/properties {"name": "WHO", "title": "t", "type": "string"}
POST /v2/metadefs/namespaces/NS/tags/WHO
POST /v2/metadefs/namespaces/NS/tags {"tags": [{"name": "t"}]}
POST /v2/metadefs/namespaces/NS/resource_types {"name": "WHO"}
PUT /v2/metadefs/namespaces/NS/objects/o {"name": "o"}
PUT /v2/metadefs/namespaces/NS/properties/p {"name": "p", "title": "t", "type": "string"}
PUT /v2/metadefs/namespaces/NS/tags/t {"name": "t"}
DELETE /v2/metadefs/namespaces/NS/objects/WHO
DELETE /v2/metadefs/namespaces/NS/properties/WHO
DELETE /v2/metadefs/namespaces/NS/tags/WHO
DELETE /v2/metadefs/namespaces/NS/resource_types/WHO
DELETE /v2/metadefs/namespaces/NS/tags
DELETE /v2/metadefs/namespaces/NS/objects
DELETE /v2/metadefs/namespaces/NS/properties
admin: GET /v2/metadefs/namespaces/NS
admin: POST /v2/metadefs/namespaces/NS/tags/t
admin: POST /v2/metadefs/namespaces/NS/objects {"name": "o"}
admin: POST /v2/metadefs/namespaces/NS/properties {"name": "p", "title": "t", "type": "string"}
"#;

/// What is asked of none.
const CATALOG: &str = r#"
GET /v2/metadefs/namespaces
GET /v2/metadefs/namespaces?limit=1&marker=public
GET /v2/metadefs/namespaces?marker=private
GET /v2/metadefs/namespaces?resource_types=T
GET /v2/metadefs/namespaces?visibility=private
GET /v2/metadefs/resource_types
GET /v2/schemas/metadefs/namespace
POST /v2/metadefs/namespaces {"namespace": "WHO"}
POST /v2/metadefs/namespaces {"namespace": "WHO", "owner": "{alt}", "objects": [{"name": "x"}]}
DELETE /v2/metadefs/namespaces/WHO
"#;

/// What is done with properties that are protected.
const PROPERTIES: &str = r#"
POST /v2/images {"name": "x", "x_open": "1"}
POST /v2/images {"name": "x", "x_secret": "1"}
POST /v2/images {"name": "x", "x_owned": "1"}
POST /v2/images {"name": "x", "other": "1"}
GET /v2/images/IMAGE
GET /v2/images?id=IMAGE
PATCH /v2/images/IMAGE [{"op": "add", "path": "/x_open", "value": "2"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/x_open", "value": "3"}]
PATCH /v2/images/IMAGE [{"op": "replace", "path": "/x_secret", "value": "2"}]
PATCH /v2/images/IMAGE [{"op": "add", "path": "/x_owned", "value": "2"}]
PATCH /v2/images/IMAGE [{"op": "add", "path": "/x_owned_new", "value": "2"}]
PATCH /v2/images/IMAGE [{"op": "remove", "path": "/x_owned"}]
PATCH /v2/images/IMAGE [{"op": "remove", "path": "/x_secret"}]
PATCH /v2/images/IMAGE [{"op": "add", "path": "/other", "value": "2"}]
PATCH /v2/images/IMAGE [{"op": "remove", "path": "/x_open"}]
GET /v2/images/IMAGE
"#;

const PROTECTIONS: &str = "\
[^x_open$]\ncreate = @\nread = @\nupdate = @\ndelete = @\n\
[^x_secret]\ncreate = admin\nread = admin\nupdate = admin\ndelete = !\n\
[^x_owned]\ncreate = admin\nread = member\nupdate = admin,manager\ndelete = manager\n";

#[test]
fn every_persona_is_answered_as_glance_answers_it() {
    let keystone = Keystone::shared();
    let pair = Pair::start(&["--multi", "--keystone", &keystone.url()], &[]);
    let mut text = String::new();
    let mut number = 7000;
    for (who, _) in PERSONAS {
        add(&mut text, ALONE, who, "");
        for (visibility, is_shared) in KINDS {
            number += 1;
            let image = format!("{{u{number}}}");
            add(&mut text, &created(visibility, ""), who, &image);
            if is_shared {
                let member = "admin: POST /v2/images/IMAGE/members {\"member\": \"{alt}\"}\n";
                add(&mut text, member, who, &image);
            }
            add(&mut text, ROUTES, who, &image);
        }
    }
    for (who, _) in PERSONAS {
        add(&mut text, STORES, who, "");
    }
    pair.run(&steps(&text), [&people(&keystone); 2]);
}

#[test]
fn properties_are_protected_as_glance_protects_them() {
    let keystone = Keystone::shared();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("protections.conf");
    fs::write(&path, PROTECTIONS).unwrap();
    let option = format!("DEFAULT.property_protection_file={}", path.display());
    let pair = Pair::start(&["--keystone", &keystone.url()], &[&option]);
    let mut text = String::new();
    let personas = ["admin", "manager", "member", "reader", "othermember"];
    for (who, number) in personas.into_iter().zip(8000..) {
        let image = format!("{{u{number}}}");
        let properties = ", \"x_open\": \"1\", \"x_secret\": \"1\", \"x_owned\": \"1\"";
        add(&mut text, &created("public", properties), who, &image);
        add(&mut text, PROPERTIES, who, &image);
    }
    pair.run(&steps(&text), [&people(&keystone); 2]);
}

/// Who writes definitions, where the operator lets managers look after those of their project.
const OF_MANAGERS: &str = "role:admin or (role:manager and project_id:%(project_id)s)";

#[test]
fn definitions_answer_every_persona_as_glances() {
    let keystone = Keystone::shared();
    let pair = Pair::start(&["--keystone", &keystone.url()], &[]);
    pair.run(&on_definitions(&PERSONAS), [&people(&keystone); 2]);
}

#[test]
fn definitions_of_a_project_are_its_managers_where_the_policy_says_so() {
    let keystone = Keystone::shared();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let writes = fresnel::control::policy::REGISTERED.iter();
    let writes =
        writes.filter(|rule| rule.name.contains("metadef") && rule.default == "rule:metadef_admin");
    let rules = writes.map(|rule| format!("\"{}\": \"{OF_MANAGERS}\"\n", rule.name));
    fs::write(&path, rules.collect::<String>()).unwrap();
    let option = format!("oslo_policy.policy_file={}", path.display());
    let pair = Pair::start(&["--keystone", &keystone.url()], &[&option]);
    // A manager, a member and a reader of the project, and a member of another.
    pair.run(&on_definitions(&PERSONAS[1..5]), [&people(&keystone); 2]);
}

/// Every route of definitions, by these personas.
fn on_definitions(personas: &[(&str, &str)]) -> Vec<Step> {
    let mut text = String::new();
    for visibility in ["private", "public"] {
        let make = format!(
            "admin: POST /v2/metadefs/namespaces {{\"namespace\": \"{visibility}\", \"owner\": \"{{demo}}\", \
             \"visibility\": \"{visibility}\", \"objects\": [{{\"name\": \"o\"}}], \"tags\": [{{\"name\": \"t\"}}], \
             \"properties\": {{\"p\": {{\"title\": \"p\", \"type\": \"string\"}}}}, \
             \"resource_type_associations\": [{{\"name\": \"T\", \"prefix\": \"x_\"}}]}}\n"
        );
        add(&mut text, &make, "admin", "");
    }
    for (who, _) in personas {
        for visibility in ["private", "public"] {
            let lines = DEFINITIONS.replace("NS", visibility);
            let lines = lines.replace("VISIBILITY", visibility);
            add(&mut text, &lines.replace("WHO", who), who, "");
        }
        add(&mut text, &CATALOG.replace("WHO", who), who, "");
    }
    steps(&text)
}

/// An administrator makes the image for the project `demo`.
fn created(visibility: &str, more: &str) -> String {
    format!(
        "admin: POST /v2/images {{\"id\": \"IMAGE\", \"name\": \"x\", \"owner\": \"{{demo}}\", \
         \"visibility\": \"{visibility}\", \"disk_format\": \"raw\", \"container_format\": \
         \"bare\"{more}}}\n"
    )
}

/// Writes the lines as steps of that persona, whose names tell who asks.
fn add(text: &mut String, lines: &str, who: &str, image: &str) {
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let line = line.replace("IMAGE", image);
        let (who, line) = match line.strip_prefix("admin: ") {
            Some(line) => ("admin", line),
            None => (who, line.as_str()),
        };
        writeln!(text, "# {who}: {line}\n{line}\n  x-auth-token: {{{who}}}").unwrap();
    }
}

fn steps(text: &str) -> Vec<Step> {
    script::parse("personas", text)
}

/// The personas' tokens, and the ids of the two projects.
fn people(keystone: &Keystone) -> Variables {
    let token = |(who, cloud): (&str, &str)| (who.to_owned(), keystone.token(cloud));
    let mut variables: Variables = PERSONAS.map(token).into();
    for (project, who) in [("demo", "member"), ("alt", "othermember")] {
        let token = keystone.validate(&variables[who]);
        let id = token["project"]["id"].as_str().unwrap();
        variables.insert(project.to_owned(), id.to_owned());
    }
    variables
}
