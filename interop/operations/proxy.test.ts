import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { clientProgram } from "../clients.ts";
import { procedure } from "./guide.ts";
import { installService, type ReadersMachine, startReadersMachine } from "./installed.ts";
import { whyNoMachine } from "./machine.ts";

const impossible = whyNoMachine();

describe.skipIf(impossible !== undefined)(
  `behind a proxy with TLS (${impossible ?? "nginx, on a real systemd"})`,
  () => {
    const behindProxy = procedure("Behind a proxy with TLS");
    let reader: ReadersMachine;
    const must = (script: string): Promise<string> => reader.must(script);

    beforeAll(async () => {
      reader = await startReadersMachine([dirname(clientProgram("crane"))]);
      await installService(reader);
      // What an administrator has before this procedure: a name, a certificate for it that clients trust, and a running nginx.
      await must(`
      echo '127.0.0.1 assay.example.com' >> /etc/hosts
      openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=assay.example.com \\
        -addext subjectAltName=DNS:assay.example.com -keyout /etc/assay/tls.key -out /etc/assay/tls.crt 2>/dev/null
      cat /etc/assay/tls.crt >> /etc/ssl/certs/ca-certificates.crt
      mkdir -p /etc/nginx/conf.d /var/lib/nginx/body /var/log/nginx
      echo 'pid /run/nginx.pid; error_log /var/log/nginx/error.log warn; events {} http { include /etc/nginx/conf.d/*.conf; }' > /etc/nginx/nginx.conf
      nginx < /dev/null > /dev/null 2>&1
    `);
    });

    afterAll(() => reader.stop());

    it("answers clients over TLS under its public name, exactly as the guide says", async () => {
      await must(behindProxy.step("nginx -t"));
      expect(await must(behindProxy.step("crane auth login"))).toContain('"status":"ready"');
      const challenge = await must("curl --silent --include https://assay.example.com/v2/ | tr -d '\\r'");
      expect(challenge).toContain('www-authenticate: Bearer realm="https://assay.example.com/');
    });

    it("streams a large layer through without keeping it", async () => {
      await must(`
      cd "$(mktemp -d)"
      head -c 300000000 /dev/urandom > big && tar -cf layer.tar big
      crane append --new_layer layer.tar --new_tag assay.example.com/app:1.0.0
      crane pull assay.example.com/app:1.0.0 pulled.tar
      test "$(stat -c %s pulled.tar)" -gt 300000000
      cd / && rm -rf "$OLDPWD"
    `);
      // nginx warns in its log when it puts a body or an answer into a file.
      expect(await must("cat /var/log/nginx/error.log")).not.toMatch(/buffered to a temporary file/);
    });
  },
);
