import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

// What examples/sam and examples/terraform make of the document of examples/invoices-openapi, as their READMEs say.

const functions = (name: string) =>
  `{"Fn::Sub":"arn:\${AWS::Partition}:apigateway:\${AWS::Region}:lambda:path/2015-03-31/functions/\${${name}}/invocations"}`;

/** By the file it makes, what is given to `rekey-openapi`. */
export const made: Record<string, string[]> = {
  'sam/invoices.protected.json': [
    ...['--api', 'http', '--authorizer-uri', functions('RekeyAuthorizer')],
    ...['--integration-uri', functions('Invoices.Arn')],
  ],
  'sam/invoices.registration.json': ['--api', 'http', '--print', 'registration'],
  'terraform/invoices.protected.json': [
    ...['--api', 'rest', '--authorizer-uri', '${authorizer_uri}', '--integration-uri', '${invoices_uri}'],
  ],
  'terraform/invoices.registration.json': ['--api', 'rest', '--print', 'registration'],
};

export const make = (options: string[]): string =>
  execFileSync(
    process.execPath,
    ['lib/protect-openapi/command.ts', 'examples/invoices-openapi/invoices.yaml', ...options],
    { encoding: 'utf8' },
  );

if (process.argv[1] === import.meta.filename)
  for (const [file, options] of Object.entries(made)) writeFileSync(`examples/${file}`, make(options));
