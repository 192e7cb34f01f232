"""A tour of identity and object store with openstackclient: what operators and their users do on the command line.

All commands run in this process: a start of the program takes as long as thirty commands. Prints each step; the last line tells
that all passed.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile

from openstackclient.common import clientmanager
from openstackclient.shell import OpenStackShell
from osc_lib.clientmanager import ClientCache

ran = 0
# Where the program keeps its logged-in clients: for as long as the process runs, whoever asks next.
CACHES = [value for kind in clientmanager.ClientManager.__mro__ for value in vars(kind).values()
          if isinstance(value, ClientCache)]
assert CACHES
KNOWN = ("OS_AUTH_URL", "OS_IDENTITY_API_VERSION")


def step(name):
    print(f"- {name}", flush=True)


def attempt(*args):
    """Runs `openstack ARGS`; its exit code, and all that it said on either output."""
    global ran
    ran += 1
    for cache in CACHES:
        cache._handle = None
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = OpenStackShell().run(list(args))
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def run(*args):
    code, out, err = attempt(*args)
    assert not code, f"{args}: {code}\n{out}\n{err}"
    return out


def read(*args):
    return json.loads(run(*args, "-f", "json"))


def refused(word, *args):
    code, out, err = attempt(*args)
    assert code and word in err, f"{args} was not refused with {word}: {code}\n{out}\n{err}"


def names(*args):
    return [row["Name"] for row in read(*args)]


def as_user(name, password, project, domain="branch"):
    """The options by which somebody else asks."""
    return ("--os-username", name, "--os-password", password, "--os-user-domain-name", domain,
            "--os-project-name", project, "--os-project-domain-name", domain)


@contextlib.contextmanager
def without_openrc():
    """Where nothing is known but the address."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("OS_") and name not in KNOWN}
    yield
    os.environ.update(kept)


step("tokens and the catalogue")
token = read("token", "issue")
admin_project = token["project_id"]
assert read("project", "show", "admin")["id"] == admin_project
catalog = {service["Type"]: service for service in read("catalog", "list")}
assert {"identity", "object-store", "s3"} <= set(catalog), catalog
shown = read("catalog", "show", "object-store")
assert any(endpoint["interface"] == "public" for endpoint in shown["endpoints"]), shown
run("token", "revoke", read("token", "issue")["id"])
refused("401", "--os-password", "wrong", "token", "issue")
refused("401", "--os-username", "nobody", "token", "issue")
refused("401", "--os-project-name", "none", "token", "issue")

step("domains")
assert read("domain", "create", "branch", "--description", "a branch")["enabled"] is True
refused("409", "domain", "create", "branch")
run("domain", "set", "branch", "--description", "the branch")
assert read("domain", "show", "branch")["description"] == "the branch"
assert {"Default", "branch"} <= set(names("domain", "list"))

step("projects")
site = read("project", "create", "site", "--domain", "branch", "--description", "a site", "--tag", "blue")
assert site["description"] == "a site" and site["tags"] == ["blue"], site
read("project", "create", "below", "--parent", site["id"], "--domain", "branch")
run("project", "set", "site", "--domain", "branch", "--name", "place")
assert read("project", "show", site["id"])["name"] == "place"
run("project", "set", site["id"], "--name", "site", "--property", "floor=3")
assert read("project", "show", site["id"])["floor"] == "3"
assert sorted(names("project", "list", "--domain", "branch")) == ["below", "site"]
refused("409", "project", "create", "site", "--domain", "branch")
refused("No Project found", "project", "show", "none")
run("project", "delete", "below", "--domain", "branch")

step("users")
ada = read("user", "create", "ada", "--domain", "branch", "--password", "lovelace", "--email", "a@b.c")
assert ada["email"] == "a@b.c" and "password" not in ada, ada
run("user", "create", "rea", "--domain", "branch", "--password", "reading")
run("user", "set", "rea", "--domain", "branch", "--description", "reads")
assert read("user", "show", "rea", "--domain", "branch")["description"] == "reads"
assert sorted(names("user", "list", "--domain", "branch")) == ["ada", "rea"]
refused("409", "user", "create", "ada", "--domain", "branch")

step("groups")
group = read("group", "create", "readers", "--domain", "branch", "--description", "who read")["id"]
run("group", "set", "readers", "--domain", "branch", "--name", "lookers")
assert names("group", "list", "--domain", "branch") == ["lookers"]
run("group", "add", "user", "lookers", "rea", "--group-domain", "branch", "--user-domain", "branch")
of_group = ("lookers", "rea", "--group-domain", "branch", "--user-domain", "branch")
assert "rea in group lookers" in run("group", "contains", "user", *of_group)
assert names("user", "list", "--group", group) == ["rea"]

step("roles and assignments")
read("role", "create", "auditor", "--description", "counts")
run("role", "set", "auditor", "--name", "checker")
assert read("role", "show", "checker")["description"] == "counts"
assert {"admin", "manager", "member", "reader", "checker"} <= set(names("role", "list"))
on_site = ("--project", "site", "--project-domain", "branch")
for role in ("member", "checker"):
    run("role", "add", role, "--user", "ada", "--user-domain", "branch", *on_site)
run("role", "add", "reader", "--group", "lookers", "--group-domain", "branch", *on_site)
given = read("role", "assignment", "list", "--names", "--user", "ada", "--user-domain", "branch")
assert sorted(row["Role"] for row in given) == ["checker", "member"], given
effective = read("role", "assignment", "list", "--effective", "--names", *on_site)
assert {(row["User"], row["Role"]) for row in effective} >= {("ada@branch", "member"), ("rea@branch", "reader")}, effective
run("role", "remove", "checker", "--user", "ada", "--user-domain", "branch", *on_site)
run("implied", "role", "create", "checker", "--implied-role", "reader")
assert any(row["Prior Role Name"] == "checker" for row in read("implied", "role", "list"))
run("implied", "role", "delete", "checker", "--implied-role", "reader")

step("as these users")
ada_in, rea_in = as_user("ada", "lovelace", "site"), as_user("rea", "reading", "site")
hers = read(*ada_in, "token", "issue")
assert (hers["project_id"], hers["user_id"]) == (site["id"], ada["id"]), hers
for command in (("user", "list"), ("project", "create", "own"), ("domain", "list"), ("role", "create", "own"),
                ("user", "delete", "rea", "--domain", "branch"), ("service", "create", "own")):
    refused("403", *ada_in, *command)
run(*ada_in, "user", "password", "set", "--password", "countess", "--original-password", "lovelace")
refused("401", *ada_in, "token", "issue")
ada_in = as_user("ada", "countess", "site")
run(*ada_in, "token", "issue")

step("regions, services, endpoints")
run("region", "create", "north", "--description", "up")
run("region", "set", "north", "--description", "farther up")
assert read("region", "show", "north")["description"] == "farther up"
assert "north" in [row["Region"] for row in read("region", "list")]
service = read("service", "create", "metering", "--name", "meter", "--description", "counts")
run("service", "set", "meter", "--description", "counts all")
assert read("service", "show", "meter")["description"] == "counts all"
assert "meter" in names("service", "list")
endpoint = read("endpoint", "create", "meter", "public", "http://127.0.0.1:1/", "--region", "north")
run("endpoint", "set", endpoint["id"], "--url", "http://127.0.0.1:2/")
assert read("endpoint", "show", endpoint["id"])["url"] == "http://127.0.0.1:2/"
assert [row["ID"] for row in read("endpoint", "list", "--service", "meter")] == [endpoint["id"]]
assert "metering" in [row["Type"] for row in read("catalog", "list")], "it is in the next token's catalogue"
run("endpoint", "delete", endpoint["id"])
run("service", "delete", "meter")
run("region", "delete", "north")
refused("No service", "service", "show", "meter")

step("application credentials")
made = read(*ada_in, "application", "credential", "create", "robot", "--secret", "clank", "--role", "member")
assert made["Secret"] == "clank" and made["Project ID"] == site["id"], made
assert names(*ada_in, "application", "credential", "list") == ["robot"]
assert "Secret" not in read(*ada_in, "application", "credential", "show", "robot")
robot = ("--os-auth-type", "v3applicationcredential", "--os-application-credential-id", made["ID"])
with without_openrc():
    hers = read(*robot, "--os-application-credential-secret", "clank", "token", "issue")
    refused("401", *robot, "--os-application-credential-secret", "clunk", "token", "issue")
assert hers["project_id"] == site["id"], hers
run(*ada_in, "application", "credential", "delete", "robot")

step("EC2 credentials")
key = read(*ada_in, "ec2", "credentials", "create")
assert key["access"] and key["secret"] and key["project_id"] == site["id"], key
assert read(*ada_in, "ec2", "credentials", "show", key["access"])["secret"] == key["secret"]
assert [row["Access"] for row in read(*ada_in, "ec2", "credentials", "list")] == [key["access"]]
run(*ada_in, "ec2", "credentials", "delete", key["access"])
assert read(*ada_in, "ec2", "credentials", "list") == []

step("the object store")
folder = tempfile.mkdtemp()
body = hashlib.shake_256(b"object").digest(3_000_000)
here, there = os.path.join(folder, "file"), os.path.join(folder, "back")
with open(here, "wb") as file:
    file.write(body)
run(*ada_in, "object", "store", "account", "set", "--property", "colour=blue")
assert read(*ada_in, "object", "store", "account", "show")["properties"]["colour"] == "blue"
assert read(*ada_in, "container", "create", "box", "other")[0]["container"] == "box"
run(*ada_in, "container", "set", "box", "--property", "mood=good")
assert read(*ada_in, "container", "show", "box")["properties"]["mood"] == "good"
made = read(*ada_in, "object", "create", "box", here, "--name", "in/file")
assert made[0]["etag"] == hashlib.md5(body).hexdigest(), made
assert names(*ada_in, "object", "list", "box") == ["in/file"]
listed = read(*ada_in, "object", "list", "box", "--long", "--prefix", "in/")
assert listed[0]["Bytes"] == len(body) and listed[0]["Hash"] == hashlib.md5(body).hexdigest(), listed
run(*ada_in, "object", "set", "box", "in/file", "--property", "taste=salt")
shown = read(*ada_in, "object", "show", "box", "in/file")
assert (int(shown["content-length"]), shown["properties"]["taste"]) == (len(body), "salt"), shown
run(*ada_in, "object", "unset", "box", "in/file", "--property", "taste")
assert "properties" not in read(*ada_in, "object", "show", "box", "in/file")
run(*rea_in, "object", "save", "box", "in/file", "--file", there)
with open(there, "rb") as file:
    assert file.read() == body, "what a reader saves is what was stored"
for command in (("container", "create", "hers"), ("object", "create", "box", here, "--name", "hers"),
                ("object", "delete", "box", "in/file"), ("container", "delete", "other")):
    refused("403", *rea_in, *command)
refused("404", "container", "show", "box")
refused("409", *ada_in, "container", "delete", "box")
refused("404", *ada_in, "object", "show", "box", "none")
assert sorted(names(*ada_in, "container", "list")) == ["box", "other"]
assert names(*ada_in, "object", "list", "box") == ["in/file"]
os.chdir(folder)
run(*ada_in, "container", "save", "box")
with open("in/file", "rb") as file:
    assert file.read() == body
run(*ada_in, "object", "delete", "box", "in/file")
run(*ada_in, "container", "delete", "box", "other")
assert names(*ada_in, "container", "list") == []
run(*ada_in, "object", "store", "account", "unset", "--property", "colour")

step("what is taken away is gone")
old = read(*ada_in, "token", "issue")["id"]
run("user", "set", "--disable", "ada", "--domain", "branch")
refused("401", *ada_in, "token", "issue")
with without_openrc():
    refused("404", "--os-auth-type", "v3token", "--os-token", old, "--os-project-id", site["id"], "token", "issue")
run("group", "remove", "user", *of_group)
refused("401", *rea_in, "token", "issue")
run("group", "delete", "lookers", "--domain", "branch")
run("user", "delete", "ada", "rea", "--domain", "branch")
run("role", "delete", "checker")
run("project", "delete", "site", "--domain", "branch")
refused("403", "domain", "delete", "branch")
run("domain", "set", "--disable", "branch")
run("domain", "delete", "branch")
assert names("domain", "list") == ["Default"]

print(f"openstack: {ran} commands")
assert ran >= 30
print("all steps passed")
sys.stdout.flush()
