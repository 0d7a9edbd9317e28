/** One use of a verb: what it is for, and the line to type. */
export type Example = { readonly say: string; readonly run: string };

/** A digest that stands in examples for any piece of evidence. */
export const SOME_EVIDENCE = "sha256:3b9aca00f1e2d3c4b5a697887766554433221100ffeeddccbbaa998877665544";

/** The digest of the file that the README makes: "hello, world" and a line end. */
const HELLO = "sha256:853ff93762a06ddbf722c4ebe9ddd66d8f63ddaea97f521c3ecc20da7c976020";

const ex = (say: string, run: string): Example => ({ say, run });

/**
 * Examples of every verb, by its words. They are shown by --help and in the manual pages, and they are tests: each is parsed, and all
 * but those that need another machine are run in this order against a server (test/help-examples.test.ts).
 */
export const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  login: [
    ex(
      "Ask for the token, keep it in the system's keyring or in a file only you can read",
      "assay login https://assay.example",
    ),
    ex(
      "In a script: the token from a file, kept in a file",
      "assay login http://127.0.0.1:8400 --token-stdin --store file < token",
    ),
  ],
  "profile add": [
    ex(
      "A name for a server and an organisation",
      "assay profile add staging --server http://127.0.0.1:8400 --org default",
    ),
  ],
  "profile use": [ex("Use it from now on", "assay profile use staging"), ex("Use none", "assay profile use")],
  "profile list": [ex("Which profiles are there, which is in use?", "assay profile list")],
  "profile remove": [ex("Forget it, and the login made under it", "assay profile remove staging")],
  "config set": [
    ex("The organisation to ask where none is named", "assay config set org default"),
    ex("Keep tokens with a Docker credential helper", "assay config set credential-helper pass"),
  ],
  "config get": [ex("The organisation in force", "assay config get org")],
  "config list": [ex("Every setting, and who says so", "assay config list --show-origin")],
  "config unset": [
    ex("Go back to the system's keyring", "assay config unset credential-helper"),
    ex("Name no organisation any more", "assay config unset org"),
  ],
  "config path": [ex("Where the file is", "assay config path")],
  fingerprint: [
    ex("Of a file", "assay fingerprint hello.txt -t file"),
    ex("Of a directory, without its logs", "assay fingerprint site -t dir --exclude '*.log'"),
    ex("Of an image", "assay fingerprint ghcr.io/acme/app:1.0.0 -t oci"),
  ],
  push: [
    ex("A file, as an artifact of the server's registry", "assay push hello.txt hello:1.0.0"),
    ex(
      "Two files as one artifact, with a note",
      "assay push hello.txt site/index.html site:1.0.0 --annotation stage=test",
    ),
  ],
  pull: [
    ex("Fetch the files, each proven to be what was pushed", "assay pull hello:1.0.0 --into fetched"),
    ex("By digest, the only name that never moves", `assay pull hello@${HELLO}`),
  ],
  "key generate": [
    ex("release.key and release.pub; cosign reads them too", "assay key generate --output-prefix release"),
    ex("Of another kind", "assay key generate --output-prefix nightly --algorithm ed25519"),
  ],
  "key list": [
    ex("The keys in this directory", "assay key list"),
    ex("What kind of key is this?", "assay key list release.pub"),
  ],
  "trust root set": [
    ex("Certificate authorities of your own", "assay trust root set house --ca ca.pem"),
    ex("A Sigstore instance, public or your own", "assay trust root set sigstore --trusted-root trusted_root.json"),
  ],
  "trust root list": [ex("Under what are certificates judged?", "assay trust root list")],
  "trust root remove": [ex("A root that no entry names", "assay trust root remove sigstore")],
  "trust add": [
    ex("Believe whatever the key says, about anything", "assay trust add release --key release.pub"),
    ex(
      "Believe it about one repository, until the end of the year",
      'assay trust add nightly --key nightly.pub --repository "default/app" --until 2030-12-31',
    ),
    ex("An OpenPGP certificate, by its full fingerprint", "assay trust add maintainer --gpg maintainer.asc"),
    ex(
      "Whom the authorities of a root issue certificates for",
      'assay trust add builds --root house --certificate-identity "CN=build,O=Example"',
    ),
  ],
  "trust list": [ex("Whom does the organisation believe about what?", "assay trust list")],
  "trust remove": [ex("Stop believing; what was decided stays decided", "assay trust remove nightly")],
  "trust export": [ex("The file that `assay verify --offline` takes", "assay trust export -o trust.json")],
  "trust diff": [
    ex("What changed since version 1?", "assay trust diff 1"),
    ex("What is otherwise in this file?", "assay trust diff --file trust.json"),
  ],
  "trust preview": [
    ex("What would this file change, over everything that is stored?", "assay trust preview trust.json"),
    ex("What would going back change?", "assay trust preview --to 1"),
  ],
  "trust rollback": [ex("Make trust what it was; the versions between stay recorded", "assay trust rollback 1")],
  "trust import": [ex("Make trust what the file says, having seen what that changes", "assay trust import trust.json")],
  sign: [
    ex("A file: the bundle goes beside it and to the server", "assay sign hello.txt --key release.key --upload"),
    ex("An image: the signature goes into its registry", "assay sign hello:1.0.0 --key release.key"),
  ],
  "attest artifact": [
    ex(
      "That it was made by a build, from a commit",
      "assay attest artifact hello.txt --key release.key --build-url https://ci.example.com/1 --commit-url https://git.example.com/c/1 --git-commit 8f4b3a5d0c1e2f60718293a4b5c6d7e8f9012345",
    ),
  ],
  "attest provenance": [
    ex(
      "How it was built (in CI, most of this is known)",
      "assay attest provenance hello.txt --key release.key --builder-id https://ci.example.com/builder --build-type https://ci.example.com/type/v1 --repository-url https://git.example.com/app --git-commit 8f4b3a5d0c1e2f60718293a4b5c6d7e8f9012345 --build-url https://ci.example.com/1",
    ),
  ],
  "attest test": [
    ex("That its tests passed, with the report", "assay attest test hello.txt --key release.key --junit junit.xml"),
    ex("Without a report", "assay attest test hello.txt --key release.key --result PASSED"),
  ],
  "attest custom": [
    ex(
      "Anything, by a predicate of your own",
      "assay attest custom hello.txt --key release.key --predicate review.json --predicate-type https://example.com/review/v1",
    ),
  ],
  "evidence list": [
    ex("Everything about a file, with what each piece is worth", "assay evidence list hello.txt"),
    ex("What says it belongs to a step of a flow", "assay evidence list --flow payments --trail build-1"),
  ],
  "evidence show": [
    ex("What is known of one piece", `assay evidence show ${SOME_EVIDENCE}`),
    ex("And what it is worth, with everything that was checked", `assay evidence show ${SOME_EVIDENCE} --explain`),
  ],
  "evidence download": [
    ex(
      "Its bytes, and the receipt that proves when it was there",
      `assay evidence download ${SOME_EVIDENCE} -o evidence.json --receipt receipt.json`,
    ),
  ],
  "evidence add": [
    ex("A bundle that another tool made", "assay evidence add hello.txt.sigstore.json"),
    ex("A signature in a file of its own", "assay evidence add --signature hello.txt.sig --artifact hello.txt"),
  ],
  "evidence search": [
    ex(
      "All provenance from one builder about one repository",
      "assay evidence search --builder https://ci.example/builder --source-repository https://git.example/acme/app",
    ),
    ex("What came since a day", "assay evidence search --after 2026-01-01T00:00:00Z"),
  ],
  "evidence import": [ex("A file of many pieces, one a line", "assay evidence import hello.txt.intoto.jsonl")],
  "evidence export": [
    ex(
      "Everything about a file, and whom to believe, kept apart",
      "assay evidence export hello.txt --to hello.evidence.json --trust-to hello.trust.json",
    ),
  ],
  "evidence check": [
    ex("Verify it with no network", "assay evidence check hello.evidence.json --trust hello.trust.json"),
  ],
  "artifact show": [
    ex("A file's whole story", "assay artifact show hello.txt"),
    ex("An image's, for a program", "assay artifact show hello:1.0.0 --output json"),
  ],
  verify: [
    ex("Is anything really said about it, by somebody trusted?", "assay verify hello.txt"),
    ex(
      "Only this will do: a signature by release, with every check shown",
      "assay verify hello.txt --by release --explain",
    ),
    ex("Without any network", "assay verify hello.txt --offline --bundle hello.txt.sigstore.json --trust trust.json"),
  ],
  "policy check": [ex("Is the file a policy?", "assay policy check policy.yaml")],
  "policy set": [ex("Store it under a name", "assay policy set production policy.yaml")],
  "policy list": [ex("Which are there?", "assay policy list")],
  "policy show": [ex("Exactly its text", "assay policy show production")],
  decide: [
    ex("May it be used, by a stored policy?", "assay decide hello.txt --policy production"),
    ex(
      "By a file, and keep the answer as a signed summary",
      "assay decide hello.txt --policy ./policy.yaml --vsa decision.json",
    ),
  ],
  "gate set": [
    ex("Nothing is pulled from app that the policy does not allow", "assay gate set app --policy production"),
    ex(
      "Everywhere; an image's platforms are allowed with its index",
      "assay gate set '**' --policy production --platforms index",
    ),
  ],
  "gate list": [ex("Which are there?", "assay gate list")],
  "gate show": [ex("Which stand over app?", "assay gate show app")],
  "gate clear": [ex("Serve everything again", "assay gate clear app"), ex("Everywhere", "assay gate clear '**'")],
  "record show": [ex("The fourth thing that ever happened here", "assay record show 3")],
  "record prove": [ex("Take the proof of it home", "assay record prove 3 -o receipt-3.json")],
  "record verify": [
    ex("Was the record rewritten since you last looked?", "assay record verify"),
    ex("Does a receipt hold? No network is needed", "assay record verify receipt-3.json"),
  ],
  "org create": [ex("A new organisation", "assay org create acme")],
  "org list": [ex("Those you may see", "assay org list")],
  "account create": [
    ex("A service account that may write evidence", "assay account create service ci --role member"),
    ex("A person", "assay account create person alice"),
  ],
  "account list": [ex("The organisation's service accounts", "assay account list service")],
  "org members": [ex("Who may do what here", "assay org members")],
  "account role set": [
    ex("What alice may do from now on", "assay account role set person alice reader"),
    ex("And what more, in some repositories", "assay account role set person alice member --repository 'team/**'"),
  ],
  "account role take": [ex("She may do nothing here any more", "assay account role take person alice")],
  "account key create": [
    ex(
      "A key for a pipeline, good for 30 days",
      "assay account key create service ci --label pipeline --expires-in-days 30",
    ),
    ex(
      "A robot's: good for pulls of one repository and nothing else",
      "assay account key create service ci --repository app --allow pull --expires-in-days 30",
    ),
  ],
  "account key list": [ex("Which keys does it have?", "assay account key list service ci")],
  "account key rotate": [
    ex(
      "A new one; the old one works for a week yet",
      "assay account key rotate service ci 0123456789abcdef --grace 7d",
    ),
  ],
  "account key revoke": [ex("Make one stop working, at once", "assay account key revoke service ci 0123456789abcdef")],
  "account workload set": [
    ex(
      "Jobs of one GitHub repository's main branch act as ci",
      "assay account workload set release --issuer https://token.actions.githubusercontent.com --service-account ci --claim repository_id=2002 --claim sub=repo:acme/app:ref:refs/heads/main --repository app",
    ),
  ],
  "account workload list": [ex("Whose tokens are taken", "assay account workload list")],
  "account workload remove": [ex("Theirs no more, at once", "assay account workload remove release")],
  "account disable-admin-token": [
    ex("Once an admin of your own has a key that works", "assay account disable-admin-token"),
  ],
  "account remove": [ex("For good: the name never comes back", "assay account remove person alice")],
  promote: [
    ex(
      "What was tested becomes what is delivered, under its version",
      "assay promote app@sha256:1111111111111111111111111111111111111111111111111111111111111111 delivered:1.0.0",
    ),
  ],
  "repository list": [ex("Which are there?", "assay repository list")],
  "repository create": [
    ex(
      "One for what is delivered, ahead of its first push: no tag in it ever moves",
      "assay repository create delivered --description 'what customers get' --immutable all-tags",
    ),
  ],
  "repository set": [
    ex(
      "The tag stable, and those that begin with lts-, never move",
      "assay repository set app --immutable-tag stable --immutable-tag 'lts-*'",
    ),
    ex("Everybody may pull it, also without a credential", "assay repository set app --visibility public"),
  ],
  "repository show": [ex("Who may what there?", "assay repository show app")],
  "repository history": [ex("Since when is it public, and by whom?", "assay repository history app")],
  "repository refused": [ex("Who tried to move a release?", "assay repository refused app")],
  "repository delete": [
    ex("A tag; what it names stays", "assay repository delete app:latest"),
    ex("A whole repository, for a while", "assay repository delete delivered --whole --reason 'moved to acme/shop'"),
  ],
  "repository rename": [
    ex("It is called shop from now on; the name app stays taken", "assay repository rename app shop"),
  ],
  "repository deleted": [ex("What can come back, and until when?", "assay repository deleted")],
  "repository restore": [ex("Bring back what an event deleted", "assay repository restore 7")],
  "retention set": [
    ex(
      "Of builds the newest 10 stay; what no tag names stays for a month",
      'assay retention set app --rule "builds tags=*-dev,pr-* last=10" --rule "loose untagged pushed=30"',
    ),
  ],
  "retention show": [ex("What goes by itself?", "assay retention show app")],
  "retention preview": [
    ex("What would go now, and why?", "assay retention preview app"),
    ex(
      "And by another rule, what would stay?",
      'assay retention preview app --rule "builds tags=*-dev pulled=14" --all',
    ),
  ],
  "retention run": [ex("Now", "assay retention run app")],
  "quota list": [ex("Who may hold how much, and does?", "assay quota list")],
  "quota show": [ex("How much room is left in app?", "assay quota show --repository app")],
  "quota set": [
    ex("At most 50 GiB in app", "assay quota set 50G --repository app"),
    ex("Count what the organisation holds, and refuse nothing", "assay quota set unlimited"),
  ],
  "quota remove": [ex("Only the organisation's quota holds for app", "assay quota remove --repository app")],
  "webhook add": [
    ex(
      "Tell a pipeline of every push and every tag of one repository",
      "assay webhook add pipeline https://ci.example.com/hooks/assay --kind push --kind tag --repository app",
    ),
    ex("Tell a CDEvents broker everything", "assay webhook add broker https://events.example.com/ --format cdevents"),
  ],
  "webhook list": [ex("Who is told what?", "assay webhook list")],
  "webhook change": [
    ex("Of decisions too", "assay webhook change pipeline --kind push --kind tag --kind decision"),
    ex(
      "Of all repositories, somewhere else",
      "assay webhook change pipeline --all-repositories --url https://ci.example.com/assay",
    ),
  ],
  "webhook rotate": [
    ex("Another secret; the former one is good for a week yet", "assay webhook rotate pipeline --grace 7d"),
  ],
  "webhook test": [ex("Does it listen?", "assay webhook test pipeline")],
  "webhook deliveries": [ex("What was given up?", "assay webhook deliveries pipeline --state dead")],
  "webhook replay": [
    ex("One delivery, once more", "assay webhook replay pipeline --delivery 1"),
    ex("Everything since an event, in order", "assay webhook replay pipeline --from 1"),
  ],
  "webhook pause": [ex("The receiver is being mended", "assay webhook pause pipeline")],
  "webhook resume": [ex("It listens again; it is told what it missed", "assay webhook resume pipeline")],
  "webhook remove": [ex("Tell it nothing more", "assay webhook remove pipeline")],
  "mirror set": [
    ex(
      "Pull through to another registry, without logging in there",
      "assay mirror set hub/alpine https://registry-1.docker.io/library/alpine --token-host auth.docker.io",
    ),
    ex(
      "A private one; a tag that cannot be checked is not served",
      "assay mirror set vendor https://registry.vendor.example/product --username robot --password-stdin --stale refuse < token",
    ),
  ],
  "mirror list": [ex("What comes from elsewhere?", "assay mirror list")],
  "mirror show": [ex("Where from, and what did it move?", "assay mirror show vendor")],
  "mirror sync": [ex("Everything now, ahead of who pulls it", "assay mirror sync vendor")],
  "mirror remove": [ex("What it has, it keeps", "assay mirror remove vendor")],
  "replication set": [
    ex(
      "Every release to another site, as soon as it is pushed",
      "assay replication set backup --to https://backup.example.com/acme --tag 'v*' --on-push --every 24h",
    ),
    ex("Fill mirrors every night", "assay replication set nightly --repository 'hub/**' --every 24h"),
  ],
  "replication list": [ex("What goes where?", "assay replication list")],
  "replication status": [ex("How far is it?", "assay replication status backup")],
  "replication run": [ex("Everything again, now", "assay replication run backup")],
  "replication remove": [ex("No more of it", "assay replication remove backup")],
  "jobs list": [ex("What failed for good?", "assay jobs list --state dead")],
  "jobs show": [ex("Why?", "assay jobs show 1")],
  "jobs retry": [ex("Once more, with all its attempts", "assay jobs retry 1")],
  "jobs discard": [ex("Give it up", "assay jobs discard 1")],
  "jobs schedules": [ex("What is done when?", "assay jobs schedules")],
  "server start": [
    ex("Everything in ./data, on this machine only", "assay server start"),
    ex(
      "For others, behind a proxy with TLS",
      "assay server start --data /var/lib/assay --listen 127.0.0.1:8400 --public-url https://assay.example",
    ),
  ],
  "server check": [
    ex("Re-verify everything", "assay server check --data /var/lib/assay"),
    ex("Also against a checkpoint you kept", "assay server check --data /var/lib/assay --against checkpoint"),
  ],
  "server collect": [
    ex("How much would go?", "assay server collect --preview"),
    ex("Remove it, while everything goes on", "assay server collect"),
  ],
  "server rebuild": [ex("Refill the tables from the events", "assay server rebuild --data /var/lib/assay")],
  "server redact": [
    ex(
      "Replace a string of event 17; look first",
      'assay server redact --data /var/lib/assay --reason "asked to be forgotten" --preview 17:/body/name=removed',
    ),
  ],
  "server upgrade": [ex("What is left to do?", "assay server upgrade --data /var/lib/assay")],
  "server rotate-master-key": [ex("Under a fresh key", "assay server rotate-master-key --data /var/lib/assay")],
  "server backup": [
    ex(
      "Everything, encrypted",
      "assay server backup --data /var/lib/assay --to monday.tar --passphrase-file passphrase",
    ),
    ex("What came since", "assay server backup --data /var/lib/assay --to tuesday.tar --since monday.tar"),
  ],
  "server verify-backup": [ex("Is it whole?", "assay server verify-backup monday.tar tuesday.tar")],
  "server restore": [
    ex("Into an empty place", "assay server restore --data /var/lib/assay-new monday.tar tuesday.tar"),
  ],
  "server succeed": [
    ex(
      "Close a log whose newest entries are lost",
      'assay server succeed --data /var/lib/assay --reason "disk lost on Monday" --against checkpoint',
    ),
  ],
  "completion bash": [ex("For this shell", "assay completion bash")],
  "completion zsh": [ex("For this shell", "assay completion zsh")],
  "completion fish": [ex("For every shell to come", "assay completion fish > assay.fish")],
  man: [
    ex("The manual page of a verb", "assay man verify"),
    ex("All pages, into a directory", "assay man --into man1"),
  ],
  "credential-helper get": [ex("As docker, crane and oras ask", "assay credential-helper get < registry-name")],
  "credential-helper store": [ex("As `docker login` keeps", "assay credential-helper store < credentials.json")],
  "credential-helper list": [ex("The servers that have a login", "assay credential-helper list")],
  "credential-helper erase": [ex("As `docker logout` forgets", "assay credential-helper erase < registry-name")],
  logout: [ex("Forget the server in use", "assay logout"), ex("Forget another", "assay logout https://assay.example")],
};
