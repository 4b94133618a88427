import type { Supported } from '../resource.ts';

const label = { noEffect: 'a label for people' };

/** Secrets that the template gives or has made up, and their policies. */
export const supported: Supported = {
  'AWS::SecretsManager::Secret': {
    properties: {
      Name: 'used',
      SecretString: 'used',
      'GenerateSecretString.ExcludeCharacters': 'used',
      'GenerateSecretString.ExcludeLowercase': 'used',
      'GenerateSecretString.ExcludeNumbers': 'used',
      'GenerateSecretString.ExcludePunctuation': 'used',
      'GenerateSecretString.ExcludeUppercase': 'used',
      'GenerateSecretString.GenerateStringKey': 'used',
      'GenerateSecretString.IncludeSpace': 'used',
      'GenerateSecretString.PasswordLength': 'used',
      'GenerateSecretString.RequireEachIncludedType': 'used',
      'GenerateSecretString.SecretStringTemplate': 'used',
      KmsKeyId: { noEffect: 'secrets are in a file of the user who runs the stack' },
      'Tags.Key': 'used',
      'Tags.Value': 'used',
      Description: label,
    },
  },
  'AWS::SecretsManager::RotationSchedule': {
    properties: {
      SecretId: 'used',
      RotationLambdaARN: 'used',
      RotateImmediatelyOnUpdate: 'used',
      'RotationRules.AutomaticallyAfterDays': 'used',
      'RotationRules.ScheduleExpression': 'used',
      'RotationRules.Duration': { noEffect: 'a rotation begins when its window does' },
    },
  },
  'AWS::SecretsManager::ResourcePolicy': {
    properties: {
      SecretId: 'used',
      ResourcePolicy: 'used',
      BlockPublicPolicy: { noEffect: 'nobody but the functions of the templates has credentials here' },
    },
  },
};
