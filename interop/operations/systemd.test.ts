import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { procedure } from "./guide.ts";
import { installService, ready, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

describe.skipIf(impossible !== undefined)(`install as a systemd unit (${impossible ?? "on a real systemd"})`, () => {
  const install = procedure("Install as a systemd unit");
  let reader: ReadersMachine;
  const must = (script: string): Promise<string> => reader.must(script);

  beforeAll(async () => {
    reader = await startReadersMachine();
  });

  afterAll(() => reader.stop());

  it("installs, starts at once and answers, exactly as the guide says", async () => {
    await installService(reader);
    for (const step of ["npm ci", "useradd", "curl"]) install.step(step);
    expect((await must("stat -c '%U %a' /var/lib/assay /var/lib/assay/assay.db")).trim()).toBe("assay 700\nassay 600");
  });

  it("is started again after a crash, with nothing lost", async () => {
    const token = (await must("cat /var/lib/assay/admin-token")).trim();
    const call = (path: string, more = ""): string =>
      `curl --silent --show-error --fail --retry 20 --retry-all-errors --retry-delay 1 -H 'authorization: Bearer ${token}' ${more} http://127.0.0.1:8400${path}`;
    await must(call("/api/assay/v1/orgs", `-H 'content-type: application/json' -d '{"name":"acme"}'`));
    const before = (await must("systemctl show -P MainPID assay")).trim();
    await must(`kill -KILL ${before}`);
    expect(await must(call("/api/assay/v1/orgs/acme"))).toContain("acme");
    expect((await must("systemctl show -P MainPID assay")).trim()).not.toBe(before);
  });

  it("is not started again and again with a wrong setting, and says which", async () => {
    await must(
      "systemctl stop assay && cp /etc/assay/assay.env /etc/assay/kept && echo ASSAY_WORKERS=many >> /etc/assay/assay.env",
    );
    await reader.machine.follow("systemctl start assay; sleep 2");
    const state = await must("systemctl show -p NRestarts -p ExecMainStatus -p ActiveState assay");
    expect(state.trim().split("\n").toSorted()).toEqual(["ActiveState=failed", "ExecMainStatus=2", "NRestarts=0"]);
    await must("cp /etc/assay/kept /etc/assay/assay.env && systemctl reset-failed assay && systemctl start assay");
  });

  it("gives out its master key to be kept, drains on stop, and check as the service's user finds everything whole", async () => {
    await ready(reader);
    expect(Buffer.from((await must(install.step("cat /var/lib/assay/master.key"))).trim(), "base64")).toHaveLength(32);
    await must("systemctl stop assay");
    const state = await must("systemctl show -p Result -p ExecMainStatus assay");
    expect(state.trim().split("\n").toSorted()).toEqual(["ExecMainStatus=0", "Result=success"]);
    expect(await must(install.step("assay-admin check"))).toContain("everything holds");
    expect(await must("find /var/lib/assay ! -user assay")).toBe("");
  });

  it("hands administration the settings as systemd reads them, whatever stands in them", async () => {
    const touched = "/var/lib/assay/touched";
    await must(`cat >> /etc/assay/assay.env <<'EOF'
# ASSAY_WORKERS=nonsense
ASSAY_ORG="acme & $(touch ${touched}) sons"
ASSAY_DATA='/var/lib/assay'
EOF
    printf 'ASSAY_WORKERS=none' >> /etc/assay/assay.env`);
    const { code, stderr } = await reader.machine.follow("assay-admin check");
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/ASSAY_ORG/);
    expect(stderr).toMatch(/ASSAY_WORKERS/);
    await must(`test ! -e ${touched} && cp /etc/assay/kept /etc/assay/assay.env && assay-admin check`);
  });

  it("is a unit that systemd finds no fault with", async () => {
    const said = await reader.machine.follow(
      "cp docs/examples/assay-backup.* /etc/systemd/system/; systemd-analyze verify --man=no /etc/systemd/system/assay*.service 2>&1",
      {
        cwd: reader.clone,
      },
    );
    expect(said.stdout).not.toMatch(/assay[a-z-]*\.(service|timer):\d+/);
  });
});
