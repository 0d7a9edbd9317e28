import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { clientProgram } from "../clients.ts";
import { guideText, procedure } from "./guide.ts";
import { type Client, clientOf, installService, ready, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}

const rules = (
  parse(readFileSync(new URL("../../docs/examples/alerts.yaml", import.meta.url), "utf8")) as {
    groups: { name: string; rules: Rule[] }[];
  }
).groups.flatMap((group) => group.rules);

/** What PromQL knows by itself; every other name of an expression is a metric or a label. */
const PROMQL = new Set(["absent", "and", "by", "max", "or", "predict_linear", "rate", "sum", "time"]);

/** The metrics an expression names. */
function metricsOf(expr: string): string[] {
  const bare = expr
    .replaceAll(/\{[^}]*\}/g, "")
    .replaceAll(/\[[^\]]*\]/g, "")
    .replaceAll(/by \([^)]*\)/g, "");
  return [...bare.matchAll(/[a-z_][a-z0-9_]*/gi)].map(([name]) => name).filter((name) => !PROMQL.has(name));
}

describe("the alerting rules", () => {
  it("are the rows of the guide's table, each with an expression, a severity and a sentence", () => {
    const named = [...guideText("Read the alarms").matchAll(/`(Assay[A-Za-z]+)`/g)].map(([, name = ""]) => name);
    expect(rules.map(({ alert }) => alert).toSorted()).toEqual(named.toSorted());
    for (const { alert, expr, labels, annotations } of rules) {
      expect(expr, alert).toMatch(/\S/);
      expect(["page", "ticket"], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toMatch(/^[A-Z{]/);
      expect(expr.split("(").length, alert).toBe(expr.split(")").length);
    }
  });
});

describe.skipIf(impossible !== undefined)(`alarms (${impossible ?? "provoked on a real systemd"})`, () => {
  const witnessed = procedure("Have the log witnessed");
  const witness = procedure("Witness somebody else's log");
  const jobs = procedure("Jobs");
  let reader: ReadersMachine;
  let client: Client;
  const must = (script: string): Promise<string> => reader.must(script);

  async function restart(...settings: readonly string[]): Promise<void> {
    for (const setting of settings) {
      await must(
        `sed -i '/^${setting.split("=")[0]}=/d' /etc/assay/assay.env; echo '${setting}' >> /etc/assay/assay.env`,
      );
    }
    await must(
      "systemctl restart assay && curl -sf --retry 20 --retry-delay 1 --retry-all-errors http://127.0.0.1:8400/healthz",
    );
  }

  const readiness = async (): Promise<{ status: string; checks: Record<string, string> }> =>
    JSON.parse(await must("curl -s http://127.0.0.1:8400/readyz")) as {
      status: string;
      checks: Record<string, string>;
    };

  /** The value of a metric without labels; undefined when it is not shown. */
  async function metric(name: string): Promise<number | undefined> {
    const found = new RegExp(`^${name} (\\S+)$`, "m").exec(await client.get("/metrics"))?.[1];
    return found === undefined ? undefined : Number(found);
  }

  const sql = (text: string): Promise<string> =>
    must(
      `runuser -u assay -- /opt/assay/node --no-warnings -e 'const { DatabaseSync } = require("node:sqlite"); new DatabaseSync("/var/lib/assay/assay.db", { timeout: 5000 }).exec(process.argv[1])' "${text}"`,
    );

  beforeAll(async () => {
    reader = await startReadersMachine([dirname(clientProgram("crane"))]);
    await installService(reader);
    client = clientOf(reader);
    // A partner: another Assay, at https://north.example, with a certificate that this machine trusts.
    await must(`
      echo '127.0.0.1 north.example' >> /etc/hosts
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=north.example \\
        -addext subjectAltName=DNS:north.example -keyout /srv/north.key -out /srv/north.crt 2>/dev/null
      chmod 644 /srv/north.crt
      cat /srv/north.crt >> /etc/ssl/certs/ca-certificates.crt
      echo 'NODE_EXTRA_CA_CERTS=/srv/north.crt' >> /etc/assay/assay.env
      curl -sf http://127.0.0.1:8400/logs/record/vkey > /srv/our-log
      cat > /etc/systemd/system/north.service <<'EOF'
[Service]
Environment=ASSAY_DATA=/srv/north ASSAY_LISTEN=127.0.0.1:443 ASSAY_PUBLIC_URL=https://north.example ASSAY_WITNESS_LOGS=/srv/our-log
Environment=ASSAY_TLS_CERT=/srv/north.crt ASSAY_TLS_KEY=/srv/north.key
ExecStart=/opt/assay/node /opt/assay/server.mjs
EOF
      systemctl daemon-reload
      systemctl start north
      curl -sf --retry 20 --retry-delay 1 --retry-all-errors https://north.example/readyz
    `);
  });

  afterAll(() => reader.stop());

  it("have their numbers: every metric that the rules and the guide name is there", async () => {
    await client.push("1.0.0");
    await must(
      "install -d -o assay -g assay /var/backups/assay && assay-admin backup --to /var/backups/assay/one.tar && assay-admin check",
    );
    await restart("ASSAY_WITNESS_LATE=5m");
    const text = await client.get("/metrics");
    const told = new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => name));
    const guide = readFileSync(new URL("../../docs/operations.md", import.meta.url), "utf8");
    const named = [...rules.flatMap(({ expr }) => metricsOf(expr)), ...(guide.match(/\bassay_[a-z_]+\b/g) ?? [])];
    // `up` is Prometheus's own; a histogram has its count.
    const missing = named.filter((name) => name !== "up" && !told.has(name.replace(/_seconds_count$/, "_seconds")));
    expect(missing).toEqual([]);
    for (const quiet of ["assay_log_late_seconds", "assay_disk_low", "assay_jobs_dead", "assay_check_findings"])
      expect(await metric(quiet), quiet).toBe(0);
    expect(await metric("assay_ready")).toBe(1);
    expect(await metric("assay_backup_last_timestamp_seconds")).toBeGreaterThan(Date.now() / 1000 - 600);
  });

  it("go off when the disk is low, and off again by themselves", async () => {
    await restart("ASSAY_DISK_FLOOR=900T");
    expect(await readiness()).toMatchObject({
      status: "not ready",
      checks: { writer: "ok", disk: expect.stringMatching(/^low: /) as string },
    });
    expect([await metric("assay_disk_low"), await metric("assay_ready")]).toEqual([1, 0]);
    const refused = await must(
      `curl -s -H "authorization: Bearer $(cat /var/lib/assay/admin-token)" -H 'content-type: application/json' -d '{"name":"acme"}' http://127.0.0.1:8400/api/assay/v1/orgs`,
    );
    expect(refused).toContain('"disk-low"');
    expect(await client.get("/metrics")).toMatch(/^assay_requests_refused_total\{reason="disk-low"\} 1$/m);
    await restart("ASSAY_DISK_FLOOR=1M");
    expect(await readiness()).toMatchObject({ status: "ready" });
    expect([await metric("assay_disk_low"), await metric("assay_ready")]).toEqual([0, 1]);
  });

  it("go off when the log cannot be published, before anybody asks /readyz", async () => {
    await must("mv /var/lib/assay/logs/record/tile /var/lib/assay/tile.away && touch /var/lib/assay/logs/record/tile");
    await client.push("1.0.1");
    await vi.waitFor(async () => expect(await metric("assay_log_late_seconds")).toBeGreaterThan(0), 10_000);
    expect(await metric("assay_ready")).toBe(0);
    expect(await readiness()).toMatchObject({
      status: "not ready",
      checks: { publication: expect.stringMatching(/^failing since/) as string },
    });
    await must("rm /var/lib/assay/logs/record/tile && mv /var/lib/assay/tile.away /var/lib/assay/logs/record/tile");
    await vi.waitFor(async () => expect(await metric("assay_log_late_seconds")).toBe(0), 10_000);
    expect(await metric("assay_ready")).toBe(1);
  });

  it("go off when the scrub finds a damaged blob, which check then names", async () => {
    const blob = (await must("find /var/lib/assay/blobs/sha256 -type f -size +90k | head -n 1")).trim();
    await must(`cp -p ${blob} /srv/kept-blob && printf x | dd of=${blob} bs=1 seek=7 conv=notrunc status=none`);
    // As if its round of an hour ago had ended earlier.
    await must("systemctl stop assay && rm -f /var/lib/assay/checks/scrub.json");
    await sql("update job_schedule set next = 0 where key = 'integrity.scrub'");
    await restart("ASSAY_SCRUB_RATE=64M");
    await vi.waitFor(async () => expect(await metric("assay_scrub_findings")).toBe(1), 20_000);
    expect(await client.get("/api/assay/v1/integrity")).toContain(blob.split("/").at(-1));
    const { code, stdout } = await reader.machine.follow("assay-admin check");
    expect(code).toBe(1);
    expect(stdout).toContain(blob.split("/").at(-1));
    expect(await metric("assay_check_findings")).toBe(1);
    await must(`cp -p /srv/kept-blob ${blob} && assay-admin check`);
    expect(await metric("assay_check_findings")).toBe(0);
  });

  it("go off when a job is dead, which the guide's procedure shows and retries", async () => {
    await must("chmod 000 /var/lib/assay/uploads");
    await sql("update job_schedule set next = 0 where key = 'registry.sweep'");
    await vi.waitFor(
      async () => {
        // After one failure it is as if there had been all but the last: the pauses between them are others' tests.
        await sql(
          "update job set attempt = max_attempts - 1, due = 0 where state = 'waiting' and kind = 'registry.sweep' and attempt > 0",
        );
        expect(await metric("assay_jobs_dead")).toBe(1);
      },
      { timeout: 40_000, interval: 1_000 },
    );
    const listed = await must(jobs.step("--state dead\n"));
    expect(listed).toMatch(/^registry\.sweep +every 10 minutes /m);
    expect(listed).toMatch(/ registry\.sweep +dead +\d\/\d .*EACCES/m);
    await must("chmod 700 /var/lib/assay/uploads");
    const token = 'export ASSAY_URL=http://127.0.0.1:8400 ASSAY_TOKEN="$(cat /var/lib/assay/admin-token)"\n';
    expect(await must(token + jobs.step("assay jobs retry"))).toMatch(/state +(waiting|running|done)/);
    await vi.waitFor(async () => expect(await metric("assay_jobs_dead")).toBe(0), 10_000);
    await vi.waitFor(
      async () => expect(await must(`${token}assay jobs list --state done`)).toContain("registry.sweep"),
      20_000,
    );
  });

  it("go off when the quorum of witnesses is late, and off when it has cosigned", async () => {
    await must(witnessed.step("/logs/record/vkey\n"));
    await must("systemctl stop north");
    await restart("ASSAY_WITNESS_LATE=1s");
    await must(
      "systemctl start north; curl -sf --retry 20 --retry-delay 1 --retry-all-errors https://north.example/readyz",
    );
    await must(witnessed.step("ASSAY_WITNESS_POLICY"));
    await ready(reader);
    await vi.waitFor(
      async () => {
        const shown = await must(witnessed.step("api/assay/v1/witnesses"));
        expect(shown).toMatch(/^— north\.example\/witness /m);
        expect(shown).toContain('"outcome":"cosigned"');
      },
      { timeout: 20_000, interval: 500 },
    );
    await vi.waitFor(async () => expect(await metric("assay_witness_late")).toBe(0), 10_000);

    await must("systemctl stop north");
    await client.push("1.0.2");
    await vi.waitFor(async () => expect(await metric("assay_witness_late")).toBe(1), 20_000);
    expect(await readiness()).toMatchObject({
      status: "degraded",
      checks: { witnesses: expect.stringMatching(/^no quorum since/) as string },
    });
    await must("systemctl start north");
    await vi.waitFor(async () => expect(await metric("assay_witness_late")).toBe(0), {
      timeout: 60_000,
      interval: 500,
    });
    expect(await readiness()).toMatchObject({ status: "ready", checks: { witnesses: "ok" } });
    expect(await metric("assay_log_witnessed_entries")).toBe(await metric("assay_log_published_entries"));
  });

  it("are not needed where we witness the partner's log: it gets our cosignature", async () => {
    const ours = (await must(witness.step("/witness/vkey"))).trim();
    expect(ours).toMatch(/^assay-[0-9a-f]+\/witness\+/);
    await must(`printf 'witness we %s http://127.0.0.1:8400/witness\\nquorum we\\n' '${ours}' > /srv/policy
      sed -i 's|^Environment=ASSAY_DATA|Environment=ASSAY_WITNESS_POLICY=/srv/policy ASSAY_DATA|' /etc/systemd/system/north.service
      systemctl daemon-reload && systemctl restart north`);
    await vi.waitFor(
      async () => {
        const note = await must(
          "curl -sf --retry 20 --retry-delay 1 --retry-all-errors https://north.example/logs/record/checkpoint",
        );
        expect(note).toContain(`— ${ours.split("+")[0]} `);
      },
      { timeout: 30_000, interval: 500 },
    );
  });
});
